"""What PyTorch takes for the work of egret's kernels, on the same device, for the same sizes as `examples/kernels.rs`.

    python jetson/benches/side_by_side.py [--device cuda] [--rounds 100]

Letterbox: NV12 frames of 1920x1080 on the device (rows of 2048 bytes) to [N,3,640,640] FP16, RGB in 0..1, BT.709 limited range, bilinear, padded
with 114: as people write it with `torch.nn.functional.interpolate`. Suppression: rows of YOLOX [N,8400,85] to at most 300 boxes of a picture
by `torchvision.ops.batched_nms`, of the 1000 best at a confidence of 0.25 and an IoU of 0.45. Needs torch and torchvision. Times are of the device, by events; frames and tensors change from batch to batch so that no
cache holds them.
"""

import argparse
import time

import torch
import torch.nn.functional as F
import torchvision

WIDTH, HEIGHT, PITCH, SIDE = 1920, 1080, 2048, 640
ROWS, COLUMNS, CONFIDENCE, IOU, CANDIDATES, BOXES = 8400, 85, 0.25, 0.45, 1000, 300
COLD_BYTES = 512 << 20
SETS_AT_MOST = 64


class Clock:
    """Microseconds of a batch: the device's by events, the host's by the clock."""

    def __init__(self, device):
        self.gpu = device.type == "cuda"

    def measure(self, work, rounds):
        for round in range(max(3, rounds // 10)):
            work(round)
        self.wait()
        host, started = 0.0, time.perf_counter()
        for round in range(rounds):
            begun = time.perf_counter()
            work(round)
            host += time.perf_counter() - begun
        self.wait()
        return (time.perf_counter() - started) / rounds * 1e6, host / rounds * 1e6

    def wait(self):
        if self.gpu:
            torch.cuda.synchronize()


def sets(batch, each_bytes, device):
    if device.type != "cuda":
        return 1
    return max(1, min(SETS_AT_MOST, COLD_BYTES // (batch * each_bytes)))


def letterbox(frames):
    """[N,1620,2048] bytes, NV12 -> [N,3,640,640] halves."""
    n = frames.shape[0]
    luma = frames[:, :HEIGHT, :WIDTH].unsqueeze(1).half()
    chroma = frames[:, HEIGHT:, :WIDTH].reshape(n, HEIGHT // 2, WIDTH // 2, 2).permute(0, 3, 1, 2).half()
    scaled = SIDE * HEIGHT // WIDTH
    y = (F.interpolate(luma, (scaled, SIDE), mode="bilinear", align_corners=False) - 16) * 1.164384
    uv = F.interpolate(chroma, (scaled, SIDE), mode="bilinear", align_corners=False) - 128
    u, v = uv[:, :1], uv[:, 1:]
    rgb = torch.cat((y + 1.792741 * v, y - 0.213249 * u - 0.532909 * v, y + 2.112402 * u), 1).clamp_(0, 255) / 255
    top = (SIDE - scaled) // 2
    return F.pad(rgb, (0, 0, top, SIDE - scaled - top), value=114 / 255)


def cells(device):
    """Corner [8400,2] and stride [8400,1] of each row's cell, as YOLOX has them: strides 8, 16, 32."""
    corners, strides = [], []
    for stride in (8, 16, 32):
        side = SIDE // stride
        y, x = torch.meshgrid(torch.arange(side, device=device), torch.arange(side, device=device), indexing="ij")
        corners.append(torch.stack((x, y), -1).reshape(-1, 2))
        strides.append(torch.full((side * side, 1), stride, device=device))
    return torch.cat(corners).float(), torch.cat(strides).float()


def suppress(rows, corners, strides):
    """[N,8400,85] -> per picture at most 300 boxes."""
    xy, wh = (rows[..., :2] + corners) * strides, rows[..., 2:4].exp() * strides / 2
    boxes = torch.cat((xy - wh, xy + wh), -1)
    scores, classes = (rows[..., 5:] * rows[..., 4:5]).max(-1)
    kept = []
    for box, score, label in zip(boxes, scores, classes):
        best, index = score.topk(CANDIDATES)
        index = index[best >= CONFIDENCE]
        keep = torchvision.ops.batched_nms(box[index].float(), score[index].float(), label[index], IOU)[:BOXES]
        kept.append(torch.cat((box[index][keep], score[index][keep, None], label[index][keep, None].to(box.dtype)), -1))
    return [boxes.cpu() for boxes in kept]


def rows(batch, device):
    """The rows that `examples/kernels.rs` decodes: one of 40 is sure of something."""
    at = torch.arange(batch * ROWS * COLUMNS, device=device)
    column, row = at % COLUMNS, at // COLUMNS
    other = (column * 37 % 100) / 110.0
    sure = 0.01 + 0.9 * (row % 40 == 0)
    return torch.where(column == 4, sure, other).reshape(batch, ROWS, COLUMNS).float()


def copy_ceiling(device, rounds):
    bytes = COLD_BYTES if device.type == "cuda" else COLD_BYTES // 16
    source, target = (torch.empty(bytes, dtype=torch.uint8, device=device) for _ in range(2))
    each, _ = Clock(device).measure(lambda _: target.copy_(source), max(3, rounds // 10))
    return 2 * bytes / each * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cpu only shows that the script runs")
    parser.add_argument("--rounds", type=int, default=100)
    arguments = parser.parse_args()
    device, clock = torch.device(arguments.device), Clock(torch.device(arguments.device))
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("this PyTorch finds no CUDA device: `--device cpu` only shows that the script runs")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "the CPU (its times say nothing of a device)"
    print(f"PyTorch {torch.__version__}, torchvision {torchvision.__version__}, {name}")
    ceiling = copy_ceiling(device, arguments.rounds)
    print(f"copy from device to device: {ceiling / 1e9:.1f} GB/s, read and written\n")
    print("| letterbox 1080p NV12 to 3x640x640 FP16, interpolate | µs per batch | µs on the host | GB/s | of the copy |\n|---|---|---|---|---|")
    with torch.inference_mode():
        for batch in (1, 8, 32):
            count = sets(batch, PITCH * HEIGHT * 3 // 2, device)
            frames = torch.randint(0, 256, (count, batch, HEIGHT * 3 // 2, PITCH), dtype=torch.uint8, device=device)
            each, host = clock.measure(lambda round: letterbox(frames[round % count]), arguments.rounds)
            rate = batch * (WIDTH * HEIGHT * 3 // 2 + 3 * SIDE * SIDE * 2) / each * 1e6
            print(f"| batch {batch} | {each:.1f} | {host:.1f} | {rate / 1e9:.1f} | {rate / ceiling:.2f} |")
            del frames
        print(f"\n| YOLOX {ROWS}x{COLUMNS} to boxes, batched_nms | µs per batch | µs on the host | boxes | bytes to the host per picture |\n|---|---|---|---|---|")
        for batch in (1, 8, 32):
            outputs, grid = rows(batch, device), cells(device)
            found = suppress(outputs, *grid)
            each, host = clock.measure(lambda _: suppress(outputs, *grid), max(3, arguments.rounds // 5))
            bytes = max(boxes.numel() * boxes.element_size() for boxes in found)
            print(f"| batch {batch} | {each:.1f} | {host:.1f} | {len(found[-1])} | {bytes} |")


if __name__ == "__main__":
    main()
