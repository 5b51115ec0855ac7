"""The rank stage without a cluster, and a ranker for it."""

from pathlib import Path

import torch
from ranker_world import World

from crface import ranker
from pipeline.blocks.commit import BlockReport
from pipeline.blocks.store import CandidateStore
from pipeline.rank.plan import RankPlan, plan_rank
from pipeline.rank.work import finish_rank, prepare_rank, rank_block
from pipeline.train.home import home_of
from pipeline.workspace.layout import CandidateKey


def save_ranker(path: Path, seed: int = 0) -> Path:
    """Store a small ranker that changes confidences at random; its file."""
    torch.manual_seed(seed)
    model = ranker.create("small", 16, 64)
    for module in model.confidence:
        torch.nn.init.normal_(module.linear.bias, std=0.05)
    ranker.save(model, path)
    return path


def planned_ranking(world: World, key: CandidateKey, ranker_file: Path, above: float = 0.02) -> RankPlan:
    """What is to be ranked, in blocks of 32 images: candidates of a confidence above `above`."""
    return plan_rank(world.workspace, world.index(), key, ranker_file, block_images=32, above=above)


def rank_all(plan: RankPlan) -> list[BlockReport]:
    """Do what was planned, without a cluster; a report for each block."""
    prepare_rank(plan)
    reports = [rank_block(plan.spec, block) for block in plan.blocks]
    finish_rank(plan)
    return reports


def save_ranker_at_home(path: Path, world: World, key: CandidateKey, kind: str = "small") -> Path:
    """Store the ranker of `save_ranker`, or an untrained one, at home on a world's pictures with these candidates."""
    model = ranker.load(save_ranker(path)) if kind == "small" else ranker.create(kind, 16, 64)
    index = world.index()
    model.home = home_of(index, index.ok_rows, [CandidateStore.open(world.workspace.candidates(key))])
    ranker.save(model, path)
    return path
