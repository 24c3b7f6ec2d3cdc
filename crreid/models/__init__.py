"""Network architectures: one per file, built from frozen settings, never downloading anything.

Every model takes images as (N, 3, height, width) float, RGB, normalised with ImageNet's mean (0.485, 0.456, 0.406)
and standard deviation (0.229, 0.224, 0.225), and raises InputError for other shapes. That holds for restoration too:
it takes images that were upsampled to the network's size and returns images in the same space, not clamped.

Initial weights are drawn from torch's default generator, because layers of torch and timm accept no other: seed it
inside `torch.random.fork_rng()` around the constructor.
"""
