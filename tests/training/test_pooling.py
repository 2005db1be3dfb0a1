import pytest
import torch
import torch.nn.functional as F

from saccade.training.pooling import pads_of, tile_max_pool


def reference(x: torch.Tensor, window: tuple[int, int], rectify: bool) -> torch.Tensor:
    y = F.max_pool2d(x.permute(0, 3, 1, 2), window).permute(0, 2, 3, 1)
    return torch.relu(y) if rectify else y


@pytest.mark.parametrize("rectify", [False, True])
@pytest.mark.parametrize(("window", "size"), [((2, 2), (8, 6)), ((2, 2), (9, 7)), ((3, 2), (9, 7))])
def test_tiles_pool_as_pytorch_does(window, size, rectify) -> None:
    torch.manual_seed(0)
    # Whole numbers, so that ties are common: the first of equal entries takes the gradient.
    x = torch.randint(-2, 3, (3, *size, 4)).float().requires_grad_()
    ours, theirs = tile_max_pool(x, window, rectify=rectify), reference(x, window, rectify)
    assert torch.equal(ours, theirs)
    slope = torch.randn_like(ours)
    assert torch.equal(
        torch.autograd.grad(ours, x, slope)[0], torch.autograd.grad(theirs, x, slope)[0]
    )


def test_same_padding_puts_the_odd_pixel_last() -> None:
    # TensorFlow's rule: 8 pixels, window 3, stride 2 give 4 outputs, which reach over 9 pixels.
    assert pads_of([8], [3], [2], [1]) == [(0, 1)]
    assert pads_of([9], [3], [1], [2]) == [(2, 2)]
