import io
import os
import re

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from src.datamodules.images import files
from src.datamodules.images.files import FORMATS, SUFFIXES, as_text, counted, list_images, printable, read_image


def saved(path, array, **options):
    Image.fromarray(np.asarray(array)).save(path, **options)
    return path


@pytest.fixture
def colours():
    """Smooth, so that JPEG keeps it: (height 40, width 60)."""
    y, x = np.mgrid[:40, :60]
    return np.stack([x * 4, y * 6, (x + y) * 2], axis=2).astype(np.uint8)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names_of(files, folder):
    return [path.removeprefix(f"{folder}/") for path in files]


def test_images_are_found_at_any_depth_in_order(tmp_path):
    touch(tmp_path, "b.png", "a/z.JPG", "a/b/c.webp", "d.jpeg", "e.bmp", "x.jpg/f.TIF")
    found, others = list_images(tmp_path)
    assert names_of(found, tmp_path) == ["a/b/c.webp", "a/z.JPG", "b.png", "d.jpeg", "e.bmp", "x.jpg/f.TIF"]
    assert others == []


def test_the_suffixes_are_those_of_the_formats_that_are_read():
    Image.init()
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in (*FORMATS, "MPO")}
    assert set(SUFFIXES) == known


def test_other_files_are_listed_apart_and_hidden_ones_not_at_all(tmp_path):
    touch(tmp_path, "notes.txt", "png", "a/b.HEIC")
    touch(tmp_path, "._a.png", ".thumbs/a.png", "Thumbs.db", "a/desktop.ini", "__MACOSX/a.png", ".DS_Store")
    found, others = list_images(tmp_path)
    assert found == []
    assert names_of(others, tmp_path) == ["a/b.HEIC", "notes.txt", "png"]


def test_links_to_folders_are_followed_once(tmp_path):
    touch(tmp_path, "set/a.png", "other/b.png")
    (tmp_path / "set" / "more").symlink_to(tmp_path / "other")
    (tmp_path / "set" / "round").symlink_to(tmp_path / "set")
    assert names_of(list_images(tmp_path / "set")[0], tmp_path / "set") == ["a.png", "more/b.png"]


def test_two_links_to_one_folder_are_both_followed_and_circles_are_not(tmp_path):
    touch(tmp_path, "other/b.png", "third/c.png")
    for name in ("cat", "dog"):
        touch(tmp_path, f"set/{name}/a.png")
        (tmp_path / "set" / name / "more").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "round").symlink_to(tmp_path / "third")
    (tmp_path / "third" / "round").symlink_to(tmp_path / "other")
    assert names_of(list_images(tmp_path / "set")[0], tmp_path / "set") == [
        f"{name}/{file}" for name in ("cat", "dog") for file in ("a.png", "more/b.png", "more/round/c.png")
    ]


def test_hidden_files_that_seem_to_be_images_are_no_secret(tmp_path):
    touch(tmp_path, ".a.jpg", ".b.JPG.icloud", "._c.jpg", ".d", ".png", ".jpg.swp", ".thumbs/e.jpg")
    assert names_of(list_images(tmp_path)[1], tmp_path) == [".a.jpg", ".b.JPG.icloud"]


def test_a_folder_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(OSError, match=r"cannot read the folder .*nowhere: No such file"):
        list_images(tmp_path / "nowhere")


def test_files_are_counted_by_kind_with_examples(tmp_path):
    files = [str(tmp_path / name) for name in ("a/1.heic", "a/2.HEIC", "a/3.heic", "b.txt", "README")]
    assert counted(files, tmp_path) == "3 .heic (a/1.heic, a/2.HEIC, ...), 1 .txt (b.txt), 1 without suffix (README)"
    many = [f"a.{number}" for number in range(9)]
    assert counted(many, "").endswith("1 .5 (a.5) and 3 more kinds")


def test_a_name_that_is_not_utf_8_is_printable():
    assert printable(os.fsdecode(b"caf\xe9.jpg")) == "caf\\xe9.jpg"
    assert printable("café.jpg") == "café.jpg"


def test_a_name_of_several_lines_is_printed_in_one():
    assert printable("a\nb\t\x1b猫") == "a\\nb\\t\\x1b猫"
    assert as_text("a\nb") == "a\nb"


def test_a_image_of_the_right_size_comes_as_it_is(tmp_path, colours):
    path = saved(tmp_path / "a.png", colours[:40, :40])
    assert np.array_equal(read_image(path, 40, 3), colours[:40, :40])


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp", "jpg", "jpeg"])
def test_each_format_is_read(tmp_path, colours, suffix):
    options = {"lossless": True} if suffix == "webp" else {"quality": 95} if suffix.startswith("j") else {}
    path = saved(tmp_path / f"a.{suffix}", colours[:40, :40], **options)
    difference = np.abs(read_image(path, 40, 3).astype(int) - colours[:40, :40])
    assert difference.max() <= (12 if suffix.startswith("j") else 0)


def test_the_middle_of_a_wide_image_is_cut_out(tmp_path):
    wide = np.repeat(np.array([[9, 9, 50, 60, 9, 9]], np.uint8), 2, axis=0)
    assert read_image(saved(tmp_path / "a.png", wide), 2, 1)[..., 0].tolist() == [[50, 60], [50, 60]]


def test_the_middle_of_a_high_image_is_cut_out(tmp_path):
    high = np.repeat(np.array([[9, 9, 50, 60, 9, 9]], np.uint8), 2, axis=0).T
    assert read_image(saved(tmp_path / "a.png", high), 2, 1)[..., 0].tolist() == [[50, 50], [60, 60]]


def test_squashed_a_wide_image_keeps_its_edges(tmp_path):
    wide = np.repeat(np.array([[0] * 30 + [255] * 60 + [0] * 30], np.uint8), 30, axis=0)
    row = read_image(saved(tmp_path / "a.png", wide), 12, 1, resize="squash")[6, :, 0]
    assert row[:2].max() < 20
    assert row[4:8].min() > 235
    assert row[-2:].max() < 20


def test_padded_a_wide_image_is_whole_between_black_borders(tmp_path, colours):
    image = read_image(saved(tmp_path / "a.png", colours), 30, 3, resize="pad")
    assert image[:5].max() == image[25:].max() == 0
    assert np.array_equal(image[5:25], np.asarray(Image.fromarray(colours).resize((30, 20))))


def test_padded_a_thin_image_keeps_a_pixel(tmp_path):
    image = read_image(saved(tmp_path / "a.png", np.full((1, 200, 3), 77, np.uint8)), 8, 3, resize="pad")
    assert (image[..., 0] == 77).sum(1).tolist() == [0, 0, 0, 8, 0, 0, 0, 0]


@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
def test_a_huge_image_becomes_a_square_in_the_same_way(tmp_path, colours, resize, monkeypatch):
    path = saved(tmp_path / "a.png", colours)
    expected = read_image(path, 9, 3, resize=resize)
    monkeypatch.setattr(files, "LARGE", 100)
    assert np.array_equal(read_image(path, 9, 3, resize=resize), expected)


@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [(40, 60), (13, 7), (8, 8), (3, 200)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_becomes_a_square_of_bytes(tmp_path, size, channels, resize):
    image = read_image(saved(tmp_path / "a.png", np.full((*size, 3), 77, np.uint8)), 8, channels, resize=resize)
    assert image.shape == (8, 8, channels)
    assert image.dtype == np.uint8
    assert set(np.unique(image)) <= ({0, 77} if resize == "pad" else {77})
    assert 77 in image


def test_a_large_jpeg_decoded_small_looks_like_one_decoded_whole(tmp_path):
    stripes = Image.fromarray(np.tile(np.repeat(np.array([40, 200], np.uint8), 16), (640, 30)))
    stripes.save(tmp_path / "a.jpg", quality=95)
    stripes.save(tmp_path / "a.png")
    small, whole = (read_image(tmp_path / f"a.{suffix}", 100, 1).astype(int) for suffix in ("jpg", "png"))
    assert np.abs(small - whole).mean() <= 1


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_a_image_lying_on_its_side_is_turned_upright(tmp_path, suffix):
    image = Image.fromarray(np.repeat(np.array([[0] * 8 + [255] * 8], np.uint8), 16, axis=0)).convert("RGB")
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise: the left edge becomes the top
    image.save(tmp_path / f"a.{suffix}", exif=exif)
    upright = read_image(tmp_path / f"a.{suffix}", 16, 1)[..., 0]
    assert upright[:4].mean() < 20
    assert upright[-4:].mean() > 235


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_pillow_turns_it(tmp_path, colours, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    saved(tmp_path / "a.png", colours[:40, :40], exif=exif)
    expected = ImageOps.exif_transpose(Image.open(tmp_path / "a.png"))
    assert np.array_equal(read_image(tmp_path / "a.png", 40, 3), np.asarray(expected))


def broken_exif(kind):
    """EXIF data that Pillow reads in part, or not at all."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x011A] = 72.0
    content = bytearray(exif.tobytes())
    match kind:
        case "no header":
            content[8:12] = b"what"
        case "a resolution of another type":
            content[content.index(b"\x01\x1a") + 3] = 2
        case "an orientation of text":
            content[content.index(b"\x01\x12") + 3] = 2
        case "cut short":
            content = content[:20]
    return bytes(content)


@pytest.mark.parametrize("kind", ["no header", "a resolution of another type", "an orientation of text", "cut short"])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_broken_exif_data_do_not_keep_an_image_from_being_read(tmp_path, colours, kind, suffix):
    Image.fromarray(colours[:40, :40]).save(tmp_path / f"a.{suffix}", exif=broken_exif(kind))
    plain = saved(tmp_path / f"plain.{suffix}", colours[:40, :40])
    pixels, expected = read_image(tmp_path / f"a.{suffix}", 40, 3), read_image(plain, 40, 3)
    turned = np.rot90(expected, -1)
    assert np.array_equal(pixels, expected) or np.array_equal(pixels, turned)


def test_a_long_comment_is_no_reason_to_refuse_an_image(tmp_path, colours):
    comment = PngImagePlugin.PngInfo()
    comment.add_text("a", "b" * 2_000_000, zip=True)
    saved(tmp_path / "a.png", colours, pnginfo=comment)
    assert read_image(tmp_path / "a.png", 8, 3).shape == (8, 8, 3)


def test_a_palette_becomes_its_colours(tmp_path):
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", 2, 3)[0, 0].tolist() == [10, 20, 30]


def test_a_transparent_palette_entry_becomes_white(tmp_path):
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "a.png", transparency=bytes([255, 0]))
    assert read_image(tmp_path / "a.png", 2, 3)[0, 0].tolist() == [255, 255, 255]


def test_what_is_half_transparent_is_half_white(tmp_path):
    saved(tmp_path / "a.png", np.full((2, 2, 4), [0, 0, 0, 128], np.uint8))
    assert read_image(tmp_path / "a.png", 2, 3)[0, 0].tolist() == [127, 127, 127]


def test_grey_becomes_colour_and_colour_grey(tmp_path):
    saved(tmp_path / "grey.png", np.full((2, 2), 90, np.uint8))
    saved(tmp_path / "red.png", np.full((2, 2, 3), [255, 0, 0], np.uint8))
    assert read_image(tmp_path / "grey.png", 2, 3)[0, 0].tolist() == [90, 90, 90]
    assert read_image(tmp_path / "red.png", 2, 1)[0, 0].tolist() == [76]  # 0.299 * 255


def test_of_16_bits_the_upper_8_are_kept(tmp_path):
    saved(tmp_path / "a.png", np.full((2, 2), 0x4AFF, np.uint16))
    assert read_image(tmp_path / "a.png", 2, 1)[0, 0].tolist() == [0x4A]


@pytest.mark.parametrize(("value", "expected"), [(0x4AFF, 0x4A), (200, 200), (2**20, 255), (-5, 0)])
def test_of_32_bits_as_many_are_kept_as_are_used(tmp_path, value, expected):
    saved(tmp_path / "a.tif", np.full((2, 2), value, np.int32))
    assert read_image(tmp_path / "a.tif", 2, 1)[0, 0].tolist() == [expected]


@pytest.mark.parametrize(("value", "expected"), [(0.2, 51), (1.0, 255), (77.4, 77), (300.0, 255), (-2.0, 0)])
def test_fractions_within_0_and_1_go_from_black_to_white(tmp_path, value, expected):
    saved(tmp_path / "a.tif", np.full((2, 2), value, np.float32))
    assert read_image(tmp_path / "a.tif", 2, 1)[0, 0].tolist() == [expected]


def test_one_bit_becomes_black_and_white(tmp_path):
    saved(tmp_path / "a.png", np.array([[True, False], [False, True]]))
    assert read_image(tmp_path / "a.png", 2, 1)[..., 0].tolist() == [[255, 0], [0, 255]]


def test_printing_colours_become_screen_colours(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    red, green, blue = read_image(tmp_path / "a.jpg", 16, 3)[8, 8].tolist()
    assert red > 245
    assert max(green, blue) < 10


def test_of_an_animation_the_first_frame_is_read(tmp_path):
    frames = [Image.new("RGB", (2, 2), colour) for colour in ("black", "white")]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert read_image(tmp_path / "a.webp", 2, 1).max() == 0


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
def test_a_file_cut_short_is_told_by_name(tmp_path, suffix):
    content = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (30, 30, 3), np.uint8)
    Image.fromarray(noise).save(content, {"jpg": "jpeg"}.get(suffix, suffix))
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content.getvalue()[: len(content.getvalue()) // 2])
    with pytest.raises(ValueError, match=f"{re.escape(str(path))} is not a readable image: "):
        read_image(path, 8, 3)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x89PNG\r\n\x1a\n" + bytes(50), b"\xff\xd8\xff\xe0" + bytes(50)])
def test_what_is_no_image_is_told(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"a.png is not a readable image: "):
        read_image(tmp_path / "a.png", 8, 3)


def test_an_empty_file_is_called_so(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(ValueError, match=r"a.png is not a readable image: it is empty$"):
        read_image(tmp_path / "a.png", 8, 3)


def test_an_unknown_format_is_called_so(tmp_path):
    (tmp_path / "a.png").write_bytes(b"<html>")
    with pytest.raises(ValueError, match=r"a.png is not a readable image: unknown format$"):
        read_image(tmp_path / "a.png", 8, 3)


def test_a_file_that_cannot_be_opened_is_another_error(tmp_path):
    with pytest.raises(OSError, match=r"cannot open .*a.png: No such file"):
        read_image(tmp_path / "a.png", 8, 3)


def test_what_is_not_a_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").mkdir()
    (tmp_path / "c.png").symlink_to(tmp_path / "nowhere")
    for name in "abc":
        with pytest.raises(OSError, match=rf"cannot open .*{name}.png: (it is not a file|No such file)"):
            read_image(tmp_path / f"{name}.png", 8, 3)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp"])
def test_a_file_of_postscript_is_not_an_image_whatever_its_name(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr("subprocess.check_call", lambda *_, **__: pytest.fail("Ghostscript was started"))
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (8, 8)).save(path, "EPS")
    with pytest.raises(ValueError, match=rf"a.{suffix} is not a readable image: unknown format"):
        read_image(path, 8, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000", "MPO"])
def test_a_file_may_be_of_any_common_format_whatever_its_name(tmp_path, kind):
    Image.new("RGB", (8, 8), (200, 200, 200)).save(tmp_path / "a.jpg", kind)
    assert abs(int(read_image(tmp_path / "a.jpg", 8, 3).mean()) - 200) < 4


def test_a_file_that_claims_too_many_pixels_is_not_decoded(tmp_path, monkeypatch):
    Image.new("1", (1000, 101)).save(tmp_path / "a.png")
    read_image(tmp_path / "a.png", 8, 3, max_pixels=101_000)
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", lambda _: pytest.fail("it was decoded"))
    with pytest.raises(
        ValueError, match=r"a.png is not a readable image: 101,000 pixels, more than max_pixels=100,999"
    ):
        read_image(tmp_path / "a.png", 8, 3, max_pixels=100_999)


def test_a_very_large_image_is_made_smaller_first_and_looks_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("src.datamodules.images.files.LARGE", 1000)
    smooth = np.linspace(0, 255, 120).astype(np.uint8)
    pixels = np.stack([np.tile(smooth, (160, 1)), np.tile(smooth[::-1], (160, 1)), np.full((160, 120), 9)], 2)
    image, exif = Image.fromarray(pixels.astype(np.uint8)), Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    reduced = read_image(tmp_path / "a.png", 8, 3).astype(int)
    monkeypatch.setattr("src.datamodules.images.files.LARGE", 10**9)
    assert np.abs(reduced - read_image(tmp_path / "a.png", 8, 3)).max() <= 3
