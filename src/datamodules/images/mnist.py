"""MNIST: the handwritten digits."""

from src.datamodules.images.idx import IdxImages


class MNIST(IdxImages):
    """70,000 handwritten digits, 28x28 grey, 10 classes, 10,000 of them for test (LeCun, Cortes and Burges 1998).

    The original address now refuses downloads. This mirror and the checksums are those that torchvision uses
    (torchvision/datasets/mnist.py).
    """

    class_names = [str(digit) for digit in range(10)]
    folder = "mnist"
    address = "https://ossci-datasets.s3.amazonaws.com/mnist/"
    checksums = {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    }
