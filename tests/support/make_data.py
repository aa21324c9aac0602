"""Writes small data sets in the real files' formats, so that every experiment runs without a network.

Labels go round the classes, so that each has as many rows; images of one class share a pattern, which a net can
learn.
"""

import gzip
import io
import lzma
import struct
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def make_labels(rows, num_classes=10):
    return np.arange(rows) % num_classes


def make_images(labels, height, width, channels, seed=0):
    """uint8 (rows, height, width, channels): a random pattern for each class, and noise over it."""
    patterns = np.random.default_rng(1).integers(0, 200, (labels.max() + 1, height, width, channels))
    noise = np.random.default_rng(seed).integers(0, 56, (len(labels), height, width, channels))
    return (patterns[labels] + noise).astype(np.uint8)


def write_idx_set(folder, train_rows=120, test_rows=30, size=28, num_classes=10):
    """The four files of MNIST or Fashion-MNIST."""
    for prefix, rows, seed in (("train", train_rows, 0), ("t10k", test_rows, 1)):
        labels = make_labels(rows, num_classes)
        write_idx(Path(folder, f"{prefix}-images-idx3-ubyte.gz"), make_images(labels, size, size, 1, seed)[..., 0])
        write_idx(Path(folder, f"{prefix}-labels-idx1-ubyte.gz"), labels.astype(np.uint8))


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes(), compresslevel=1))


def write_cifar_binary(folder, train_rows=120, test_rows=30, archive=False):
    """cifar-10-batches-bin/ or cifar-10-binary.tar.gz in `folder`; train_rows must be a multiple of 5."""
    files = {f"{name}.bin": _records(*batch) for name, batch in _cifar_batches(train_rows, test_rows).items()}
    _write_files(Path(folder), files, "cifar-10-batches-bin", "cifar-10-binary.tar.gz" if archive else None)


def write_cifar_python(folder, train_rows=120, test_rows=30, archive=False):
    """cifar-10-batches-py/ or cifar-10-python.tar.gz in `folder`; train_rows must be a multiple of 5."""
    files = {name: python2_pickle(*batch) for name, batch in _cifar_batches(train_rows, test_rows).items()}
    _write_files(Path(folder), files, "cifar-10-batches-py", "cifar-10-python.tar.gz" if archive else None)


def cifar_images(rows, seed):
    """The images and labels that the CIFAR-10 writers store; seed 0 for train, 1 for test."""
    labels = make_labels(rows)
    return make_images(labels, 32, 32, 3, seed), labels


def _cifar_batches(train_rows, test_rows):
    """name -> (planes (rows, 3072), labels)."""
    parts = {"test_batch": cifar_images(test_rows, 1)}
    images, labels = cifar_images(train_rows, 0)
    for number, rows in enumerate(np.split(np.arange(train_rows), 5), 1):
        parts[f"data_batch_{number}"] = images[rows], labels[rows]
    return {name: (images.transpose(0, 3, 1, 2).reshape(-1, 3072), labels) for name, (images, labels) in parts.items()}


def _records(planes, labels):
    return np.concatenate([labels[:, None].astype(np.uint8), planes], axis=1).tobytes()


def python2_pickle(planes, labels):
    """{"data": planes, "labels": labels} as Python 2 pickled it: byte strings, and numpy's old module name."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    def integer(value):
        return b"J" + struct.pack("<i", value)

    dtype = b"cnumpy\ndtype\n" + text(b"u1") + integer(0) + integer(1) + b"\x87R"
    dtype += b"(" + integer(3) + text(b"|") + b"NNN" + integer(-1) + integer(-1) + integer(0) + b"tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + integer(0) + b"\x85" + text(b"b") + b"\x87R"
    array += b"(" + integer(1) + integer(planes.shape[0]) + integer(planes.shape[1]) + b"\x86" + dtype + b"\x89"
    array += b"T" + struct.pack("<i", planes.size) + planes.tobytes() + b"tb"
    numbers = b"](" + b"".join(integer(int(label)) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + numbers + b"u."


def _write_files(folder, files, name, archive):
    folder.mkdir(parents=True, exist_ok=True)
    if archive is None:
        for file, content in files.items():
            (folder / name).mkdir(exist_ok=True)
            (folder / name / file).write_bytes(content)
        return
    with tarfile.open(folder / archive, "w:gz", compresslevel=1) as tar:
        for file, content in files.items():
            member = tarfile.TarInfo(f"{name}/{file}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def write_image_folder(folder, classes=CIFAR_CLASSES, rows=None, size=(32, 32), channels=3, suffix="png"):
    """split/class/NNNN.png for the splits in `rows`: how many images of each class. size: (height, width)."""
    for seed, (split, count) in enumerate((rows or {"train": 12, "test": 3}).items()):
        labels = make_labels(count * len(classes), len(classes))
        for row, image in enumerate(make_images(labels, *size, channels, seed)):
            path = Path(folder, split, classes[labels[row]], f"{row // len(classes):04}.{suffix}")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.squeeze()).save(path)


def write_wikitext(folder, suffix="", words=None):
    """wiki.{train,valid,test}.tokens of so many words each, without line ends; suffix: .gz or .xz."""
    compress = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}[suffix]
    Path(folder).mkdir(parents=True, exist_ok=True)
    for seed, (split, count) in enumerate((words or {"train": 3000, "valid": 400, "test": 500}).items()):
        text = "\n".join(wikitext_lines(count, seed)) + "\n"
        Path(folder, f"wiki.{split}.tokens{suffix}").write_bytes(compress(text.encode()))


def wikitext_lines(num_words, seed=0):
    """Headings and sentences, spaced as WikiText's; each word mostly tells the next, so that a net can learn it."""
    random = np.random.default_rng(seed)
    names = ["<unk>", *(f"{syllable}{number}" for number in range(12) for syllable in ("wo", "é", "@-@"))]
    lines, word = ["", " = Title = "], 0
    left = num_words - 3
    while left:
        length = min(left, int(random.integers(5, 30)))
        sentence = []
        for _ in range(length):
            word = int(random.integers(len(names))) if random.random() < 0.2 else (3 * word + 1) % len(names)
            sentence.append(names[word])
        lines.append(f" {' '.join(sentence)} ")
        left -= length
    return lines


def text_settings(**changes):
    """The arguments that all text sets share, for small sets; cache_dir has to be added."""
    return {
        "batch_size": 4,
        "eval_batch_size": 3,
        "bptt": 7,
        "vary_bptt": False,
        "documents": False,
        "document_start": None,
        "tokenizer": "whitespace",
        "vocab": "own",
        "min_freq": 1,
        "max_vocab_size": None,
        "specials": [],
        "seed": 0,
        **changes,
    }


def image_settings(**changes):
    """The arguments that all image sets share, for small sets, with nothing augmented."""
    return {
        "batch_size": 4,
        "valid_fraction": 0.25,
        "classes": None,
        "train_per_class": None,
        "weighted_sampling": False,
        "drop_last": False,
        "keep_on_device": False,
        "seed": 0,
        "augmentation": lambda images, labels, num_classes, size, epoch: (images.permute(0, 3, 1, 2), labels),
        **changes,
    }


def folder_settings(**changes):
    """The arguments of ImageFolder, for small sets; data_dir and cache_dir have to be added."""
    return {
        "folder": "pets",
        "task": "classification",
        "labels": None,
        "label_regex": None,
        "path_column": "path",
        "label_column": "label",
        "split_column": None,
        "label_separator": " ",
        "y_range": None,
        "image_size": 6,
        "cache_size": None,
        "resize": "crop",
        "channels": 3,
        "on_corrupt": "raise",
        "max_pixels": 9999,
        "max_cache_mb": None,
        **image_settings(**changes),
    }


def table_settings(**changes):
    """The arguments that all tables share, for small ones; cache_dir has to be added."""
    return {
        "target": "target",
        "task": "binary",
        "positive": None,
        "categorical": "auto",
        "continuous": "auto",
        "dates": "auto",
        "ignored": [],
        "min_freq": 1,
        "continuous_scaling": "standardise",
        "clip_numbers": False,
        "target_scaling": "standardise",
        "date_parts": ["month", "day_of_week", "elapsed"],
        "date_format": None,
        "on_missing_target": "raise",
        "split": "random",
        "split_column": None,
        "valid_fraction": 0.25,
        "test_fraction": 0.125,
        "valid_from": None,
        "test_from": None,
        "batch_size": 4,
        "drop_last": False,
        "keep_on_device": False,
        "seed": 0,
        **changes,
    }


def write_adult(folder, train_rows=60, test_rows=20):
    """adult.data and adult.test as UCI publishes them; more years of education, more income."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    lines = [_adult_line(row) for row in range(train_rows + test_rows)]
    test = [f"{line}." for line in lines[train_rows:]]
    Path(folder, "adult.data").write_text("\n".join([*lines[:train_rows], "", ""]))
    Path(folder, "adult.test").write_text("\n".join(["|1x3 Cross validator", *test, "", ""]))


def _adult_line(row):
    education = row * 7 % 16 + 1
    work = ("Private", "?", "State-gov")[row % 3]
    numbers = (f"{row % 50 + 17}", work, f"{10_000 + row}", f"Grade-{education}", f"{education}")
    names = ("Divorced", "Sales", "Unmarried", "White", ("Male", "Female")[row % 2])
    return ", ".join([*numbers, *names, "0", "0", "40", "Cuba", ">50K" if education > 10 else "<=50K"])


def write_rossmann(folder, stores=4, days=30):
    """Kaggle's train.csv and store.csv, and store_states.csv; shut on Sundays, store 1 always sells nothing."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    header = "Store,DayOfWeek,Date,Sales,Customers,Open,Promo,StateHoliday,SchoolHoliday"
    lines = [_rossmann_line(day, store) for day in reversed(range(days)) for store in range(1, stores + 1)]
    Path(folder, "train.csv").write_text("\n".join([header, *lines]) + "\n")
    header = "Store,StoreType,Assortment,CompetitionDistance,CompetitionOpenSinceMonth,CompetitionOpenSinceYear"
    lines = [f"{store},{'abcd'[store % 4]},a,{store * 100}.0,,,0,,," for store in range(1, stores + 1)]
    Path(folder, "store.csv").write_text(
        "\n".join([f"{header},Promo2,Promo2SinceWeek,Promo2SinceYear,PromoInterval", *lines]) + "\n"
    )
    lines = [f"{store},{('BY', 'HE')[store % 2]}" for store in range(1, stores + 1)]
    Path(folder, "store_states.csv").write_text("\n".join(["Store,State", *lines]) + "\n")


def _rossmann_line(day, store):
    day_of_week = (day + 1) % 7 + 1  # the first day, 2013-01-01, was a Tuesday
    is_open = int(day_of_week < 7)
    sales = 1000 * (store - 1) * is_open * (2 + day % 2)
    return f"{store},{day_of_week},2013-01-{day + 1:02},{sales},{sales // 10},{is_open},{day % 2},0,1"


def write_sets(folder):
    """All sets that no installed package holds, small, in the files that they are published in."""
    write_idx_set(folder / "mnist")
    write_idx_set(folder / "fashion-mnist")
    write_cifar_binary(folder / "cifar-10")
    write_wikitext(folder / "wikitext-2")
    write_adult(folder / "adult")
    write_rossmann(folder / "rossmann")
