#!/usr/bin/env python3
"""Writes tests/golden/optim.safetensors: ten steps of torch's optimizers on given gradients.

Run from the repository's root. Versions are recorded in the file's metadata.
"""
import pathlib
import safetensors, safetensors.torch, torch

OUT = pathlib.Path("tests/golden/optim.safetensors")
N, STEPS = 131, 10  # not a multiple of any vector

# The test has the same settings under the same names.
CASES = {
    "sgd": lambda w: torch.optim.SGD(w, lr=0.02, foreach=False),
    "sgd_decay": lambda w: torch.optim.SGD(w, lr=0.02, weight_decay=0.05, foreach=False),
    "momentum": lambda w: torch.optim.SGD(w, lr=0.02, momentum=0.9, weight_decay=1e-4, foreach=False),
    "nesterov": lambda w: torch.optim.SGD(w, lr=0.02, momentum=0.9, weight_decay=0.05, nesterov=True, foreach=False),
    "adam": lambda w: torch.optim.Adam(w, lr=1e-3, foreach=False),
    "adam_decay": lambda w: torch.optim.Adam(w, lr=1e-2, betas=(0.3, 0.95), eps=1e-3, weight_decay=0.1, foreach=False),
    "adamw": lambda w: torch.optim.AdamW(w, lr=1e-2, weight_decay=0.1, foreach=False),
}


def main():
    torch.manual_seed(3)
    # Weights and gradients of very different sizes; some gradients are zero.
    size = torch.exp(2 * torch.randn(N))
    start = torch.randn(N) * size
    gradients = torch.randn(STEPS, N) * size * (torch.rand(STEPS, N) > 0.1)
    tensors = {"start": start, "gradients": gradients}
    for name, make in CASES.items():
        w = start.clone().requires_grad_()
        optimizer = make([w])
        for step in range(STEPS):
            w.grad = gradients[step].clone()
            optimizer.step()
            if step == 0:
                tensors[f"{name}.w1"] = w.detach().clone()
        tensors[f"{name}.w"] = w.detach().clone()
        state = optimizer.state[w]
        for key, short in (("momentum_buffer", "a"), ("exp_avg", "a"), ("exp_avg_sq", "b")):
            if state.get(key) is not None:
                tensors[f"{name}.{short}"] = state[key].clone()
    versions = {"versions": f"torch {torch.__version__}, safetensors {safetensors.__version__}"}
    safetensors.torch.save_file(tensors, OUT, versions)
    OUT.chmod(0o644)


if __name__ == "__main__":
    main()
