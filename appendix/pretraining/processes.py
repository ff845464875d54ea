"""Training in one process or in many: wrapping, averaging, and states put together again.

Who we are among the processes, and how they meet, is as in appendix/ddp_script.py.
"""

import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from ddp_script import DISTRIBUTED


def share_out(loss_model, kind, device):
    """Wrap `loss_model` for the processes that have met: copies ("ddp") or shards ("fsdp")."""
    if not DISTRIBUTED:
        return loss_model
    if kind == "ddp":
        ids = [device.index] if device.type == "cuda" else None
        return DistributedDataParallel(loss_model, device_ids=ids)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    for block in loss_model.gpt.trf_blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(loss_model.gpt, mesh=mesh)
    register_fsdp_forward_method(loss_model.gpt, "loss")
    return loss_model


def without_averaging(wrapped):
    """Within: backward() only adds to this process's own gradients, which are not sent yet."""
    return wrapped.no_sync() if isinstance(wrapped, DistributedDataParallel) else nullcontext()


def mean_of_all(value):
    """The mean of a scalar tensor over all processes, as a float."""
    if DISTRIBUTED:
        value = value.clone()
        dist.all_reduce(value)
        value /= dist.get_world_size()
    return value.item()


def is_shard(tensor):
    return isinstance(tensor, torch.Tensor) and hasattr(tensor, "full_tensor")


def whole(state, seen=None):
    """A state_dict whose tensors are no shards any more. All processes have to call it."""
    seen = {} if seen is None else seen  # a tied weight stands in a state twice
    if isinstance(state, dict):
        return {key: whole(value, seen) for key, value in state.items()}
    if isinstance(state, list):
        return [whole(value, seen) for value in state]
    if not is_shard(state):
        return state
    if id(state) not in seen:
        seen[id(state)] = state, state.full_tensor().cpu()
    return seen[id(state)][1]


def holder(state):
    """An object with this state_dict, for save_checkpoint."""
    return SimpleNamespace(state_dict=lambda: state)


def as_parameters(state, optimizer):
    """An optimiser's whole state, cut into shards as the parameters are."""
    from torch.distributed.tensor import distribute_tensor

    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    cut = {}
    for i, values in state["state"].items():
        p = parameters[i]
        cut[i] = {
            name: distribute_tensor(value.to(p.device), p.device_mesh, p.placements)
            if is_shard(p) and value.shape == p.shape
            else value
            for name, value in values.items()
        }
    return state | {"state": cut}
