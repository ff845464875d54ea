"""Train the network of appendix A in one process or in several.

One process, or two:

    python appendix/ddp_script.py
    torchrun --standalone --local_addr=127.0.0.1 --nproc_per_node=2 appendix/ddp_script.py

Every process has a copy of the network and takes an equal share of each batch, and
DistributedDataParallel gives all of them the mean of their gradients. A process gets a GPU of
its own where there are enough (then they talk by NCCL), else the CPU (then by Gloo).

Where torchrun says "use_libuv was requested but PyTorch was built without libuv support", as
builds for Windows may, let the processes find each other through a file instead, with a new
name in each run. In PowerShell:

    $env:USE_LIBUV = "0"; $env:TORCH_DISABLE_SHARE_RDZV_TCP_STORE = "1"
    torchrun --nproc_per_node=2 --rdzv_backend=c10d --rdzv_conf=store_type=file `
        --rdzv_endpoint=meeting-point-1 appendix/ddp_script.py
"""

import argparse
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.distributed.elastic.multiprocessing.errors import record
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from previous_chapters import NeuralNetwork, ToyDataset, compute_accuracy, make_pinwheel

# torchrun tells each process by environment variables who it is; alone, we are rank 0 of 1.
RANK = int(os.environ.get("RANK", 0))  # among all processes
WORLD_SIZE = int(os.environ.get("WORLD_SIZE", 1))
LOCAL_RANK = int(os.environ.get("LOCAL_RANK", 0))  # among those of this machine
LOCAL_WORLD_SIZE = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
DISTRIBUTED = "RANK" in os.environ


def log(text):
    """Print a line that says which process it is from, whole and at once."""
    sys.stdout.write(f"[rank {RANK} of {WORLD_SIZE}] {text}\n")
    sys.stdout.flush()


def choose_device(wanted):
    """The device of this process; ValueError when "cuda" is wanted and GPUs are too few."""
    gpus = torch.cuda.device_count()
    if wanted == "cuda" and gpus < LOCAL_WORLD_SIZE:
        raise ValueError(
            f"--device cuda wants a GPU for each of the {LOCAL_WORLD_SIZE} processes on this "
            f"machine, and it has {gpus}: use --device cpu or a smaller --nproc_per_node"
        )
    if wanted == "cpu" or gpus < LOCAL_WORLD_SIZE:
        return torch.device("cpu")
    return torch.device("cuda", LOCAL_RANK)


def join_the_others(device):
    """Meet the other processes; who waits longer than two minutes for them gives up."""
    options = {"backend": "gloo", "timeout": timedelta(minutes=2)}
    if device.type == "cuda":
        torch.cuda.set_device(device)
        if dist.is_nccl_available():  # not on Windows
            options |= {"backend": "nccl", "device_id": device}
    if sys.platform == "win32":
        os.environ.setdefault("USE_LIBUV", "0")
    dist.init_process_group(**options)


def make_loader(batch_size):
    """This process's share of the training points, and the sampler that deals them out."""
    if batch_size < 1 or batch_size % WORLD_SIZE:
        raise ValueError(
            f"--batch-size ({batch_size}) must be divisible by the number of processes "
            f"({WORLD_SIZE}), so that each gets an equal share"
        )
    train_set = ToyDataset(*make_pinwheel(240, seed=1))
    sampler = DistributedSampler(train_set, WORLD_SIZE, RANK, seed=123, drop_last=True)
    share = batch_size // WORLD_SIZE
    return DataLoader(train_set, share, sampler=sampler, drop_last=True), sampler


def copies(tensors):
    """Named tensors, copied to the CPU as they are now."""
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors}


def train_epoch(model, loader, optimizer, device, first_step):
    """One pass over this process's share; returns the mean loss over all processes.

    What the first step saw and computed is put into `first_step`, if that is still empty.
    """
    total = torch.zeros((), device=device)
    for x, y in loader:
        loss = F.cross_entropy(model(x.to(device)), y.to(device))
        optimizer.zero_grad()
        loss.backward()  # with DDP: the gradients are averaged over all processes here
        if not first_step:
            plain = getattr(model, "module", model)
            first_step |= {"x": x, "y": y, "weights": copies(plain.named_parameters())}
            first_step["gradients"] = copies((n, p.grad) for n, p in plain.named_parameters())
        optimizer.step()
        total += loss.detach()
    if DISTRIBUTED:
        dist.all_reduce(total)  # the sum of all processes' totals, in every process
    return total.item() / (len(loader) * WORLD_SIZE)


def read_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=24, help="of all processes together")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--out", type=Path, help="a folder for what each process saw")
    parser.add_argument("--kill", type=int, metavar="RANK", help="this rank dies in epoch 2")
    return parser.parse_args()


@record  # so that torchrun's report of a failure holds the traceback
def main():
    arguments = read_arguments()
    device = choose_device(arguments.device)
    loader, sampler = make_loader(arguments.batch_size)
    torch.manual_seed(123 + RANK)  # other weights in each process: DDP will make them equal
    model = NeuralNetwork(2, 3).to(device)
    if DISTRIBUTED:
        join_the_others(device)
        ids = [device.index] if device.type == "cuda" else None
        model = DistributedDataParallel(model, device_ids=ids)
    name = f"DDP by {dist.get_backend()}" if DISTRIBUTED else "no DDP"
    log(f"{device.type}, {name}, {len(loader)} batches of {loader.batch_size}")

    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    losses, first_step = [], {}
    for epoch in range(arguments.epochs):
        if arguments.kill == RANK and epoch == 1:
            log("killed, as asked")
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        sampler.set_epoch(epoch)  # another shuffle in each epoch, the same in all processes
        losses.append(train_epoch(model, loader, optimizer, device, first_step))
        if epoch in (0, arguments.epochs - 1):
            log(f"epoch {epoch + 1}, loss {losses[-1]:.3f}")

    plain = getattr(model, "module", model)
    if RANK == 0:  # one is enough: all processes have the same weights
        test_loader = DataLoader(ToyDataset(*make_pinwheel(120, seed=2)), batch_size=24)
        log(f"accuracy on the test points {compute_accuracy(plain, test_loader):.3f}")
    if arguments.out:
        weights = copies(plain.named_parameters())
        found = {"losses": losses, "first_step": first_step, "weights": weights}
        torch.save(found, arguments.out / f"rank{RANK}.pth")
    if DISTRIBUTED:
        dist.barrier()
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
