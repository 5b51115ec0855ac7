"""A training, or the several that cross-fitting takes, up to the ranker that is stored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from crface.ranker import Gate, Ranker
from crface.training.replicas import Replicas
from pipeline.blocks.asked import Candidates
from pipeline.train.choice import Choice, read_choice, write_choice
from pipeline.train.examples import ExampleSource
from pipeline.train.gating import choose
from pipeline.train.looks import joined, read_looks
from pipeline.train.plan import TrainPlan, num_steps
from pipeline.train.progress import TrainProgress
from pipeline.train.steps import resumed_trainer, take_steps
from pipeline.train.validation import Validation
from pipeline.workspace.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What all trainings of a plan share."""

    plan: TrainPlan
    stores: Sequence[Candidates]
    """The candidates of each of the plan's detectors."""
    device: str
    progress: Callable[[TrainProgress], None] | None
    image_cache_bytes: int
    num_threads: int
    replicas: Replicas

    def trained(self, rows: Sequence[int], held_out: Sequence[int]) -> Ranker:
        """The ranker trained on `rows`; of its states the one that is best on the rows that are held out, if any are.

        With a gate, the ranker has it, and `gate.json` says why.
        """
        folder, config = self.plan.folder, self.plan.config
        last, validation = self._train(folder, rows, held_out, steps_before=0)
        if validation is None:
            return last
        model = validation.best()
        if config.gate:
            choice = choose(read_looks(validation.looks))
            write_choice(self.plan.choice_file, choice)
            model.gate = Gate(choice.share, choice.calibration)
        return model

    def cross_fitted(self, rows: Sequence[int], parts: Sequence[Sequence[int]]) -> Ranker:
        """The ranker trained on all `rows`; its state and its gate are chosen by other trainings.

        Each of these holds out one of the `parts`, so that every picture is judged by a ranker that was not trained on
        it. Where they show no gain, nothing more is trained.
        """
        plan = self.plan
        parts = [part for part in parts if part and len(part) < len(rows)]
        for number, part in enumerate(parts, start=1):
            kept = sorted(set(rows) - set(part))
            self._train(
                plan.folder / f"fold-{number}", kept, part, steps_before=(number - 1) * plan.config.iterations
            )
        if self.replicas.is_first:
            looks = [
                read_looks(plan.folder / f"fold-{number}" / "looks") for number in range(1, len(parts) + 1)
            ]
            steps = set.intersection(*(set(found) for found in looks))
            write_choice(
                plan.choice_file,
                choose({step: joined([found[step] for found in looks]) for step in sorted(steps)}),
            )
        self.replicas.wait()
        choice = read_choice(plan.choice_file)
        model, _ = self._train(
            plan.folder, rows, [], steps_before=len(parts) * plan.config.iterations, last=_last(choice)
        )
        model.gate = Gate(choice.share, choice.calibration)
        return model

    def _train(
        self,
        folder: Place,
        rows: Sequence[int],
        held_out: Sequence[int],
        steps_before: int,
        last: int | None = None,
    ) -> tuple[Ranker, Validation | None]:
        """The ranker as of its last step, and in the first process what was seen of held-out rows, if any."""
        plan, config, replicas = self.plan, self.plan.config, self.replicas
        trainer, steps_done = resumed_trainer(
            folder, config, self.device, replicas, [key.detector for key in plan.asked]
        )
        replicas.wait()  # a checkpoint that the first one writes is none that the others should begin from
        is_left_out = [key.detector in config.validation_detectors for key in plan.keys]
        trained_on = [store for store, is_out in zip(self.stores, is_left_out, strict=True) if not is_out]
        examples = ExampleSource(plan.index, rows, trained_on, config, self.image_cache_bytes)
        validation = None
        if held_out and replicas.is_first:
            judged = [store for store, is_out in zip(self.stores, is_left_out, strict=True) if is_out]
            shares = {} if config.gate else {"shares": (1.0,)}
            validation = Validation(folder, plan.index, held_out, judged or self.stores, steps_done, **shares)

        def report(step: TrainProgress) -> None:
            if self.progress is not None:
                done = replace(step, steps_done=steps_before + step.steps_done, iterations=num_steps(config))
                self.progress(done)

        take_steps(trainer, examples, folder, steps_done, report, self.num_threads, validation, last)
        return trainer.trained(), validation


def _last(choice: Choice) -> int:
    return choice.step if choice.share else 0
