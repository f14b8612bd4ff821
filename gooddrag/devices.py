"""What computes here, what a device has left, and giving back what is kept in reserve."""

from __future__ import annotations

import os
import platform

import torch


def processor(threads: int | None = None) -> str:
    """The processor, without naming it: "x86_64, 2 threads".

    Args:
        threads: of a worker process; default: of this one.
    """
    return f"{platform.machine()}, {threads or torch.get_num_threads()} threads"


def machine(threads: int | None = None) -> str:
    """What a file of results says of where it was made: "x86_64, 2 threads, torch 2.13.0"; see `processor`."""
    return f"{processor(threads)}, torch {torch.__version__}"


def free_bytes(device: torch.device) -> int | None:
    """Bytes that a device could still give to this process; None where it does not say."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # Linux: caches of files count as free, as they are
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def release(device: torch.device) -> None:
    """Give blocks that the allocator keeps in reserve back to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
