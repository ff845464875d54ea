"""What the benchmarks share: a row of the table, a median, and the limits of the machine."""

import os
import platform
import statistics
import time


def row(name, value, unit, at_least=None, at_most=None, note=""):
    """One line of the table. A target makes it a promise, which is then met or not.

    `value` is a number, or None when it could not be measured: then `note` says why.
    """
    target = f">= {at_least:g}" if at_least is not None else None
    target = f"<= {at_most:g}" if at_most is not None else target
    value = None if value is None else float(value)
    result = {"name": name, "value": value, "unit": unit, "target": target}
    return result | {"met": is_met(value, target), "note": note}


def is_met(value, target):
    """True or False, and None where there is no target or no value."""
    if value is None or target is None:
        return None
    sign, bound = target.split()
    return value >= float(bound) if sign == ">=" else value <= float(bound)


def shortfall(value, target):
    """By what share of the target a value misses it; 0 or less when it is met."""
    sign, bound = target.split()
    missing = float(bound) - value if sign == ">=" else value - float(bound)
    return missing / abs(float(bound))


def seconds(function):
    """How long one call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def median_seconds(function, repeats=5, warmup=1):
    """The median time of a call, after `warmup` calls that don't count."""
    for _ in range(warmup):
        function()
    return statistics.median(seconds(function) for _ in range(repeats))


def processor():
    """The name of the processor, as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            fields = dict(line.split(":", 1) for line in file if ":" in line)
        fields = {key.strip(): value.strip() for key, value in fields.items()}
        family = f" (family {fields['cpu family']}, model {fields['model']})"
        return fields["model name"] + family
    except (OSError, KeyError, ValueError):
        return platform.processor() or platform.machine()


def gigabytes():
    """The memory of the machine in GB, or None where the system doesn't tell."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None


def cores():
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def matrix_peak(dtype, device="cpu", size=2048, repeats=7):
    """The best GFLOP/s of a square matrix product; a multiplication and an addition are two."""
    import torch

    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty(size, size, dtype=dtype, device=device)

    def product():
        torch.mm(a, b, out=out)
        if device != "cpu":
            torch.cuda.synchronize()

    product()
    return 2 * size**3 / min(seconds(product) for _ in range(repeats)) / 1e9


def bandwidth(device="cpu", megabytes=1024, repeats=10):
    """The best GB/s at which a sum or a dot product reads float32 from memory."""
    import torch

    numbers = torch.ones(megabytes * 2**18, device=device)  # 4 bytes each
    half = numbers.numel() // 2
    reads = [
        lambda: numbers.sum().item(),
        lambda: torch.dot(numbers[:half], numbers[half:]).item(),
    ]
    return 4 * numbers.numel() / min(seconds(read) for read in reads * repeats) / 1e9


def machine():
    """What a benchmark ran on, and what that machine can do at best."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # 2 MB pages, if torch isn't loaded yet
    import torch

    found = {
        "processor": processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "memory, GB": gigabytes(),
        "system": f"{platform.system()} {platform.machine()}",
        "memory bandwidth (read), GB/s": bandwidth(),
        "matrix peak fp32, GFLOP/s": matrix_peak(torch.float32),
        "matrix peak bf16, GFLOP/s": matrix_peak(torch.bfloat16),
    }
    if torch.cuda.is_available():
        found["GPU"] = torch.cuda.get_device_name()
        found["GPU memory bandwidth (read), GB/s"] = bandwidth("cuda")
        found["GPU matrix peak bf16, GFLOP/s"] = matrix_peak(torch.bfloat16, "cuda", 8192)
    return {k: round(v, 1) if isinstance(v, float) else v for k, v in found.items()}
