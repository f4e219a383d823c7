"""Samplers behind one ask/tell protocol: where to look next, from what was seen. They know nothing of budgets."""

import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from inferencebench.errors import MissingError, UserError
from inferencebench.search.space import Parameter, Space, Value

STARTUP_TRIALS = 8
"""Random proposals before a model is trusted: a search has about 40 trials."""
MOST_SEED = 2**32 - 1
"""Of the samplers' libraries (numpy)."""
PAPER_TRIALS = 10_000
"""What the published search told SMAC: its initial design is then longer than any search."""


class Told(NamedTuple):
    """What a sampler learns of a configuration, whoever proposed it."""

    configuration: dict[str, Value]
    loss: float
    """Smaller is better; of one that broke a constraint, the worst seen."""
    violation: float
    """Above 0: crashed, or failed a gate or a limit."""


class Sampler(Protocol):
    """One way to propose."""

    def ask(self) -> dict[str, Value]:
        """The next configuration; what is absent is unset."""

    def tell(self, told: Told) -> None:
        """Learn of a result, asked for or not."""


class RandomSampler:
    """Each choice alike, independently."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space, self._random = space, random.Random(seed)

    def ask(self) -> dict[str, Value]:
        """A random configuration."""
        picked = {p.name: self._random.choice(p.choices) for p in self._space.parameters}
        return self._space.tidy({name: value for name, value in picked.items() if value is not None})

    def tell(self, told: Told) -> None:
        """Nothing is learnt."""


class OptunaSampler:
    """Optuna's samplers. Ordinal parameters are positions in order, all others unordered."""

    def __init__(self, space: Space, seed: int, kind: str, startup: int = STARTUP_TRIALS) -> None:
        optuna = _optuna()
        self._space, self._optuna, self._kind = space, optuna, kind
        self._told: dict[str, Any] = {}
        make: dict[str, Callable[[], Any]] = {
            "tpe": lambda: optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup, multivariate=True),
            "gp": lambda: optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup, deterministic_objective=False),
            "tpe-paper": lambda: optuna.samplers.TPESampler(seed=seed),
        }
        self._study = optuna.create_study(sampler=make[kind]())
        self._distributions = {
            p.name: optuna.distributions.IntDistribution(0, len(p.choices) - 1)
            if p.type == "ordinal"
            else optuna.distributions.CategoricalDistribution(list(range(len(p.choices))))
            for p in space.parameters
            if len(p.choices) > 1
        }

    def ask(self) -> dict[str, Value]:
        """The sampler's proposal, tidied."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = self._study.ask(self._distributions)
        # The trial is closed at once: what is told is what was measured, which may have been repaired.
        self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        picked = {p.name: p.choices[trial.params.get(p.name, 0)] for p in self._space.parameters}
        return self._space.tidy({name: value for name, value in picked.items() if value is not None})

    def tell(self, told: Told) -> None:
        """Add the result as a trial, complete whatever happened: samplers ignore failed ones. What is told again of a
        configuration replaces what was known of it, but as published both stay."""
        params = {p.name: _position(p, told.configuration.get(p.name)) for p in self._space.parameters}
        trial = self._optuna.trial.create_trial(
            params={name: params[name] for name in self._distributions},
            distributions=self._distributions,
            value=told.loss,
            constraints={"violation": told.violation},
        )
        key = str(sorted(params.items()))
        if key in self._told and self._kind != "tpe-paper":
            self._told[key] = trial
            self._study = self._optuna.create_study(sampler=self._study.sampler)
            self._study.add_trials(self._told.values())
            return
        self._told[key] = trial
        self._study.add_trial(trial)


class SmacSampler:
    """SMAC3's random-forest search. `trials` sizes its initial design: about the real number, or the published one."""

    def __init__(self, space: Space, seed: int, trials: int) -> None:
        try:
            import ConfigSpace
            import smac
        except ImportError:
            raise MissingError("SMAC is not installed: pip install 'inferencebench[smac]'") from None
        import logging
        import tempfile
        from pathlib import Path

        logging.getLogger("smac").setLevel(logging.ERROR)
        self._space = space
        self._parameters = [p for p in space.parameters if len(p.choices) > 1]
        self._config_space = ConfigSpace.ConfigurationSpace(seed=seed)
        for p in self._parameters:
            positions = list(range(len(p.choices)))
            self._config_space.add(
                ConfigSpace.OrdinalHyperparameter(p.name, positions)
                if p.type == "ordinal"
                else ConfigSpace.CategoricalHyperparameter(p.name, positions)
            )
        self._folder = tempfile.TemporaryDirectory(prefix="smac.")
        scenario = smac.Scenario(
            self._config_space, deterministic=True, n_trials=trials, seed=seed, output_directory=Path(self._folder.name)
        )
        facade = smac.HyperparameterOptimizationFacade
        # The published search took the facade's design (10 per parameter); 8 starts leave room for the model.
        design = facade.get_initial_design(scenario, n_configs=None if trials >= PAPER_TRIALS else STARTUP_TRIALS)
        # The facade's own search of the model takes half a minute a proposal on small machines.
        maximizer = facade.get_acquisition_maximizer(scenario, challengers=300, local_search_iterations=2)
        self._smac = facade(
            scenario,
            _never_called,
            initial_design=design,
            acquisition_maximizer=maximizer,
            overwrite=True,
            logging_level=False,
        )
        # Straight from SMAC's selector (initial design, then model). Its intensifier would race proposals against each
        # other by repeats; repeats are the protocol's task, and it takes a hundred proposals for one.
        self._proposals: Iterator[Any] = iter(self._smac.intensifier.config_selector)

    def ask(self) -> dict[str, Value]:
        """SMAC's proposal, tidied."""
        import joblib
        from smac.main.exceptions import ConfigurationSpaceExhaustedException

        # SMAC's forest starts threads for every prediction, which wait far longer for each other than they work.
        with joblib.parallel_config(backend="sequential"):
            try:
                asked = dict(next(self._proposals))
            except (ConfigurationSpaceExhaustedException, StopIteration):
                # A small space: it has proposed all of it, and its selector has ended.
                asked = dict(self._config_space.sample_configuration())
        picked = {p.name: p.choices[int(asked[p.name])] for p in self._parameters}
        return self._space.tidy({name: value for name, value in picked.items() if value is not None})

    def tell(self, told: Told) -> None:
        """Tell the cost; a broken constraint has the worst."""
        import ConfigSpace
        from smac.runhistory import TrialInfo, TrialValue

        values = {p.name: _position(p, told.configuration.get(p.name)) for p in self._parameters}
        configuration = ConfigSpace.Configuration(self._config_space, values=values)
        # Not saved: the journal is ours, and SMAC's own file wants every trial to be one that it asked for.
        self._smac.tell(TrialInfo(configuration, seed=0), TrialValue(cost=told.loss), save=False)


SAMPLERS: dict[str, Callable[[Space, int], Sampler]] = {
    "random": RandomSampler,
    "tpe": lambda space, seed: OptunaSampler(space, seed, "tpe"),
    "gp": lambda space, seed: OptunaSampler(space, seed, "gp"),
    "smac": lambda space, seed: SmacSampler(space, seed, 60),
    "smac-paper": lambda space, seed: SmacSampler(space, seed, PAPER_TRIALS),
    "tpe-paper": lambda space, seed: OptunaSampler(space, seed, "tpe-paper"),
}
"""Name → sampler. The two `-paper` ones are as published, for comparison."""


def make(name: str, space: Space, seed: int) -> Sampler:
    """The sampler of this name. Raises UserError for an unknown one, MissingError where its library is absent."""
    if name not in SAMPLERS:
        raise UserError(f"sampler {name!r}: expected one of {', '.join(SAMPLERS)}")
    return SAMPLERS[name](space, seed)


def _position(parameter: Parameter, value: Value | None) -> int:
    """Place of a value among the choices; an unset one that cannot be chosen counts as the first."""
    return parameter.choices.index(value) if value in parameter.choices else 0


def _never_called(config: Any, seed: int = 0) -> float:
    raise AssertionError("ask and tell only")


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingError("optuna is not installed: pip install 'inferencebench[search]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna
