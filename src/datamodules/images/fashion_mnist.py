"""Fashion-MNIST: articles of clothing in MNIST's format."""

from src.datamodules.images.idx import IdxImages


class FashionMNIST(IdxImages):
    """70,000 articles of clothing, 28x28 grey, 10 classes, 10,000 of them for test.

    Source: Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747. Address, checksums and class names are those of the README
    of github.com/zalandoresearch/fashion-mnist.
    """

    class_names = [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ]
    folder = "fashion-mnist"
    address = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
    checksums = {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }
