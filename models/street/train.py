"""Trains the street detector: train.py OUT_DIR PREPARED... --minutes 20 [--resume STATE.pt]

PREPARED are the outputs of prepare.py without their extension. --minutes is a budget of CPU time, which the learning rate
follows, so that a busy machine makes the training longer but not worse. The averaged weights are written after every minute
of it and are usable at any time.
The assignment is SimOTA and the losses are those of YOLOX (Ge et al. 2021, arXiv 2107.08430,
section 2.1), but that small objects weigh more.
"""

import argparse
import copy
import json
import math
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F

from network import CLASSES, IN_H, IN_W, STRIDES, Street, export


def grid():
    cells = []
    for s in STRIDES:
        y, x = torch.meshgrid(torch.arange(IN_H // s), torch.arange(IN_W // s), indexing="ij")
        cells.append(torch.stack([x.flatten(), y.flatten(), torch.full((x.numel(),), s)], 1))
    return torch.cat(cells).float()


GRID = grid()
CENTRES = (GRID[:, :2] + 0.5) * GRID[:, 2:]


def decode(raw):
    """[..., A, 4] -> x1, y1, x2, y2 in input pixels."""
    centre = (raw[..., :2] + GRID[:, :2]) * GRID[:, 2:]
    half = raw[..., 2:].clamp(max=6.0).exp() * GRID[:, 2:] / 2
    return torch.cat([centre - half, centre + half], -1)


def iou(a, b):
    """Pairs [A,4] x [G,4] -> [A,G]."""
    wh = (torch.min(a[:, None, 2:], b[None, :, 2:]) - torch.max(a[:, None, :2], b[None, :, :2])).clamp(min=0)
    inter = wh[..., 0] * wh[..., 1]
    area = lambda t: (t[:, 2] - t[:, 0]) * (t[:, 3] - t[:, 1])
    return inter / (area(a)[:, None] + area(b)[None] - inter + 1e-6)


@torch.no_grad()
def assign(boxes, obj, cls, gt, gt_class):
    """SimOTA: which anchors answer for which object. Returns anchor indices, their object, and their IoU."""
    x, y = CENTRES[:, :1], CENTRES[:, 1:]
    inside = (x > gt[:, 0]) & (x < gt[:, 2]) & (y > gt[:, 1]) & (y < gt[:, 3])
    middle, reach = (gt[:, :2] + gt[:, 2:]) / 2, 1.5 * GRID[:, 2:]
    near = ((x - middle[:, 0]).abs() < reach) & ((y - middle[:, 1]).abs() < reach)
    where = torch.nonzero((inside | near).any(1)).flatten()
    overlap = iou(boxes[where], gt)
    score = (obj[where].sigmoid() * cls[where].sigmoid()).sqrt()
    one = F.one_hot(gt_class, CLASSES).float()
    log_p, log_n = score.clamp(1e-6).log(), (1 - score).clamp(1e-6).log()
    cost = -(log_p @ one.T + log_n @ (1 - one).T)
    cost = cost - 3.0 * (overlap + 1e-8).log() + 1e5 * ~(inside & near)[where]
    match = torch.zeros_like(cost, dtype=torch.bool)
    k = overlap.topk(min(10, len(where)), 0).values.sum(0).int().clamp(min=1)
    for g in range(len(gt)):
        match[cost[:, g].topk(min(int(k[g]), len(where)), largest=False).indices, g] = True
    twice = match.sum(1) > 1
    if twice.any():
        best = cost[twice].argmin(1)
        match[twice] = F.one_hot(best, len(gt)).bool()
    row, of = torch.nonzero(match, as_tuple=True)
    # Large objects have ten anchors and small ones one or two: weighed so that an object's share grows with the root only.
    worth = match.sum(0).clamp(min=1).float().rsqrt()[of]
    return where[row], of, overlap[row, of], worth / worth.mean()


def losses(outs, labels):
    raw = torch.cat([o.flatten(2) for o in outs], 2).transpose(1, 2)
    boxes, obj, cls = decode(raw[..., :4]), raw[..., 4:5], raw[..., 5:]
    goal, weight = torch.zeros_like(obj), torch.ones_like(obj)
    picked, want_box, want_cls, worths = [], [], [], []
    for i, label in enumerate(labels):
        ignored, gt = label[label[:, 5] == 0], label[label[:, 5] == 1]
        if len(ignored):
            x, y = CENTRES[:, :1], CENTRES[:, 1:]
            under = (x > ignored[:, 1]) & (x < ignored[:, 3]) & (y > ignored[:, 2]) & (y < ignored[:, 4])
            weight[i][under.any(1)] = 0.0
        if len(gt):
            where, of, overlap, worth = assign(boxes[i].detach(), obj[i].detach(), cls[i].detach(), gt[:, 1:5], gt[:, 0].long())
            goal[i, where], weight[i, where] = 1.0, worth[:, None]
            worths.append(worth)
            picked.append(torch.stack([torch.full_like(where, i), where]))
            want_box.append(gt[of, 1:5])
            want_cls.append(F.one_hot(gt[of, 0].long(), CLASSES) * overlap[:, None])
    l_obj = (F.binary_cross_entropy_with_logits(obj, goal, reduction="none") * weight).sum()
    if not picked:
        return l_obj, 0.0
    at, want, kind, worth = torch.cat(picked, 1), torch.cat(want_box), torch.cat(want_cls), torch.cat(worths)
    got, n = boxes[at[0], at[1]], max(1, at.shape[1])
    wh = (torch.min(got[:, 2:], want[:, 2:]) - torch.max(got[:, :2], want[:, :2])).clamp(min=0)
    inter = wh[:, 0] * wh[:, 1]
    union = (got[:, 2:] - got[:, :2]).prod(1) + (want[:, 2:] - want[:, :2]).prod(1) - inter
    hull = (torch.max(got[:, 2:], want[:, 2:]) - torch.min(got[:, :2], want[:, :2])).prod(1)
    over = inter / (union + 1e-6)
    l_box = ((1 - over + (hull - union) / (hull + 1e-6)) * worth).sum()
    l_cls = F.binary_cross_entropy_with_logits(cls[at[0], at[1]], kind, worth[:, None], reduction="sum")
    return (5.0 * l_box + l_obj + l_cls) / n, over.mean().item()


class Data:
    def __init__(self, names):
        self.images, self.labels = [], []
        for name in names:
            self.images.append(np.load(name + ".npy", mmap_mode="r"))
            self.labels.append([torch.tensor(l, dtype=torch.float32).reshape(-1, 6) for l in json.load(open(name + ".json"))])
        self.index = [(d, i) for d, l in enumerate(self.labels) for i in range(len(l))]

    def batch(self, picks, rng):
        images, labels = [], []
        for pick in picks:
            d, i = self.index[pick]
            image, label = torch.from_numpy(self.images[d][i].copy()), self.labels[d][i].clone()
            used = int(360 * IN_W / 640)
            if rng.random() < 0.5:
                image, label[:, [1, 3]] = image.flip(1), IN_W - label[:, [3, 1]]
            image = image.permute(2, 0, 1).float()
            if rng.random() < 0.5:
                tint = torch.tensor(rng.uniform(0.93, 1.07, 3), dtype=torch.float32)[:, None, None]
                image[:, :used] = ((image[:, :used] - 110) * rng.uniform(0.8, 1.2) + 110 + rng.uniform(-20, 20)).mul_(tint).clamp_(0, 255)
            images.append(image)
            labels.append(label)
        return torch.stack(images), labels


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("data", nargs="+")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume")
    parser.add_argument("--note", default="")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(7)
    rng = np.random.default_rng(7 + int(bool(args.resume)))
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    data, net = Data(args.data), Street().to(memory_format=torch.channels_last)
    if args.resume:
        net.load_state_dict(torch.load(args.resume))
    ema, steps = copy.deepcopy(net).eval(), 0
    plain = [p for n, p in net.named_parameters() if p.ndim == 1]
    decayed = [p for n, p in net.named_parameters() if p.ndim > 1]
    optimiser = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0}], lr=args.rate)
    begun, start, saved, seen, log = time.monotonic(), time.process_time(), time.process_time(), 0, []

    def save():
        torch.save(ema.state_dict(), out / "ema.pt")
        torch.save(net.state_dict(), out / "net.pt")
        export(copy.deepcopy(ema), str(out / "street.onnx"), args.note)

    order = np.array([], int)
    while (done := (time.process_time() - start) / (args.minutes * 60)) < 1.0:
        if len(order) < args.batch:
            order = np.concatenate([order, rng.permutation(len(data.index))])
        picks, order = order[: args.batch], order[args.batch :]
        rate = args.rate * min(1.0, (steps + 1) / 150) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        images, labels = data.batch(picks, rng)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outs = net.train()(images.contiguous(memory_format=torch.channels_last))
        loss, overlap = losses([o.float() for o in outs], labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 20.0)
        optimiser.step()
        steps, seen = steps + 1, seen + len(picks)
        keep = min(0.998, steps / (steps + 20))
        with torch.no_grad():
            for e, p in zip(ema.state_dict().values(), net.state_dict().values()):
                e.lerp_(p, 1 - keep) if e.is_floating_point() else e.copy_(p)
        log.append((loss.item(), overlap))
        if steps % 50 == 0:
            l, o = np.mean(log[-50:], 0)
            print(f"{time.process_time() - start:5.0f} s of CPU, {time.monotonic() - begun:5.0f} s  step {steps}  {seen / len(data.index):.2f} epochs  loss {l:.3f}  IoU {o:.3f}  rate {rate:.1e}", flush=True)
        if time.process_time() - saved > 60:
            save()
            saved = time.process_time()
    save()
    print(f"{steps} steps, {seen} images, {time.process_time() - start:.0f} s of CPU in {time.monotonic() - begun:.0f} s, torch {torch.__version__}")


if __name__ == "__main__":
    main()
