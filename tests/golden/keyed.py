"""src/core/rng.c's keyed numbers in numpy, and the networks that are filled with them.

tests/support/golden.c does the same in C, to the bit, so that weights and pixels are not stored.
"""
import numpy as np

GAMMA = np.uint64(0x9E3779B97F4A7C15)
PURPOSE_TEST = 99


def mix(z):
    with np.errstate(over="ignore"):
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def key(seed, epoch, name, purpose=PURPOSE_TEST):
    """rng_key; a text enters as rng_id_from_text says."""
    with np.errstate(over="ignore"):
        k = np.uint64(0)
        for word in (seed, epoch, text_id(name) if isinstance(name, str) else name, purpose):
            k = mix((k ^ mix(np.uint64(word) + GAMMA)) + GAMMA)
        return k


def text_id(text):
    h = 0xCBF29CE484222325
    for c in text.encode():
        h = ((h ^ c) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        return mix(np.uint64(h) + GAMMA)


def u64(k, n):
    """The first n numbers of key k."""
    with np.errstate(over="ignore"):
        return mix(k + np.arange(1, n + 1, dtype=np.uint64) * GAMMA)


def uniform(k, n):
    """In [0, 1), 24 bits each, float32."""
    return (u64(k, n) >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)


def pixels(seed, image, h, w):
    """(h, w, 3) in [-2, 2)."""
    u = uniform(key(seed, 0, image), h * w * 3)
    return (np.float32(4) * u - np.float32(2)).reshape(h, w, 3)


def span(name, shape):
    """base and span: values are base + span * u. Activations keep their size through the layers."""
    if name.startswith("backbone.body.") and (".bn" in name or ".downsample.1." in name):
        return {"weight": (0.5, 0.5), "bias": (-0.125, 0.25), "running_mean": (-0.125, 0.25),
                "running_var": (0.75, 0.5)}[name.rsplit(".", 1)[1]]
    if name.endswith(".bias"):
        return -0.125, 0.25
    gain = 6.0  # of what a ReLU follows
    if ".fpn." in name or "cls_" in name:
        gain = 3.0
    if "bbox_pred" in name:
        gain = 0.1875  # a quarter of that in size: boxes move by a fraction of their sides
    bound = np.float32(np.sqrt(gain / (np.prod(shape) / shape[0])))
    return -bound, 2 * bound


def values(seed, name, shape):
    base, width = (np.float32(x) for x in span(name, shape))
    return (width * uniform(key(seed, 0, name), int(np.prod(shape))) + base).reshape(shape)


def fill(model, seed):
    """Sets every parameter and buffer of a torch module by its name."""
    import torch
    state = {k: torch.from_numpy(values(seed, k, tuple(v.shape))).to(v.dtype)
             for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all(k.endswith("num_batches_tracked") for k in missing)


def projections(seed, name, x):
    """64 sums of x with signs: sum b takes +x[i] where bit b of number i is set, else -x[i]."""
    bits = u64(key(seed, 1, name), x.size)
    total = x.sum()
    return np.array([2 * x[(bits >> np.uint64(b)) & np.uint64(1) != 0].sum() - total for b in range(64)])
