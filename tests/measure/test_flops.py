import torch
import torch.nn.functional as F

from guidebench.measure.flops import count_flops


def test_matrix_product() -> None:
    a, b = torch.randn(3, 5), torch.randn(5, 7)
    assert count_flops(lambda: a @ b) == 2 * 3 * 5 * 7


def test_convolution() -> None:
    x, w = torch.randn(2, 3, 8, 8), torch.randn(4, 3, 3, 3)
    assert count_flops(lambda: F.conv2d(x, w, padding=1)) == 2 * 2 * 4 * 3 * 9 * 64


def test_sums_and_nothing() -> None:
    a = torch.randn(4, 4)
    assert count_flops(lambda: (a @ a) @ a) == 2 * count_flops(lambda: a @ a)
    assert count_flops(lambda: None) == 0
