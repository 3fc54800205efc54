"""`ModelComponent`: one declared model as assets and checks, and the sensors of all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster.components.core.component_tree import ComponentTree
from dagster.components.core.defs_module import find_defs_or_component_yaml
from pydantic import BaseModel, RootModel, ValidationError

from mlops_assets.assets import (
    batches,
    champion,
    drift_profile,
    evaluation,
    features,
    model,
    performance,
    predictions,
    source,
    staleness,
    training_set,
)
from mlops_assets.checking.declared import declared_problems
from mlops_assets.checking.findings import Finding, Origin, of_fields
from mlops_assets.components.broken import Broken
from mlops_assets.components.worker import models_of_run, stand_in
from mlops_assets.declaration import Declaration, raised
from mlops_assets.errors import DeclarationError
from mlops_assets.resources import RESOURCES
from mlops_assets.sensors import data, decision

# where the definitions carry, by the model's name, what is declared and in which file
DECLARATION, ORIGIN = "mlops/declaration/", "mlops/origin/"
FEW = 4
#: Dagster sets it in `dg check defs` and `dagster definitions validate`
VALIDATING = "DAGSTER_IS_DEFS_VALIDATION_CLI"
_without_sensors: ContextVar[bool] = ContextVar("without_sensors", default=False)


@contextmanager
def without_sensors() -> Iterator[None]:
    """Let models be built without the sensors of all: whoever builds them adds these."""
    token = _without_sensors.set(True)
    try:
        yield
    finally:
        _without_sensors.reset(token)


class Attributes(RootModel[Any]):
    """What a `defs.yaml` says, whatever it is: one that can't be kept must not stop all others."""

    @classmethod
    def model_json_schema(cls, *arguments: Any, **keywords: Any) -> dict[str, Any]:
        """Return the schema of a declaration, by which `dg check yaml` knows fields and bounds."""
        schema = Declaration.model_json_schema(*arguments, **keywords)
        # what a schema can say of fields that depend on each other; `mlops check` says it all
        held_out = Declaration.model_fields["gates"].get_default(call_default_factory=True)
        least = held_out.holdout_windows + 1
        cooldown = {"properties": {"cooldown_windows": {"minimum": least}}}
        named = {"properties": {"gates": {"required": ["holdout_windows"]}}, "required": ["gates"]}
        return {
            **schema,
            "if": {"not": named},
            "then": {"properties": {"retraining": cooldown}},
        }


class ModelComponent(dg.Component):
    """A model declared once: from data versions to the sensors that start the circle again.

    In YAML the attributes are the fields of `Declaration`; in Python, build one:
    `ModelComponent(Declaration(name=...))` in a function decorated by `@dg.component_instance`.

    A declaration that can't be kept is shown as one asset that says why, and the other models of
    the code location go on; in `dg check defs` it is an error.
    """

    def __init__(self, declaration: Declaration | None, broken: Broken | None = None) -> None:
        if (declaration is None) == (broken is None):
            raise DeclarationError("a component is of a declaration, or of why there is none")
        self.declaration = declaration
        self._broken = broken
        self.origin: Origin | None = broken.origin if broken else None
        self._found: tuple[bool, Declaration | Broken] | None = None  # and whether thoroughly
        self.is_built = False
        self.module: str | None = None  # below which references such as `.schema:X` are meant

    @property
    def name(self) -> str:
        """The model's name; of one without, the name of its folder."""
        if self.declaration is not None:
            return self.declaration.name
        return self._broken.name if self._broken else ""

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Return what takes any attributes and has the schema of a declaration."""
        return Attributes

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Build it from the attributes of a `defs.yaml`."""
        origin = origin_of(context)
        said = attributes.model_dump() if attributes is not None else {}
        try:
            component = cls(Declaration.model_validate(said))
        except ValidationError as error:
            name = said.get("name") if isinstance(said, dict) else None
            named = name if isinstance(name, str) and name else context.path.name
            component = cls(None, Broken(named, of_fields(error), origin))
        component.origin, component.module = origin, module_of(context)
        return component

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the definitions of the model, or the one asset that says why there are none.

        Raises:
            DeclarationError: in `dg check defs`; a declaration can't be kept, this or another.

        """
        wanted = wanted_here(context)
        if wanted is not None and self.name not in wanted:
            return stand_in(self.declaration) if self.declaration else dg.Definitions()
        self.module = module_of(context)
        validating = os.environ.get(VALIDATING) == "1"
        built = self._built(context, thorough=validating)
        if isinstance(built, Broken) and validating:
            # all at once: whoever mends them should not have to ask again for each
            others = [
                one._built(context, thorough=True)  # noqa: SLF001 of this class
                for one in beside(context)
                if one.module is not None
            ]
            broken = [other for other in others if isinstance(other, Broken)] or [built]
            lines = [line for other in broken for line in other.lines(context.project_root)]
            raise DeclarationError("\n".join(dict.fromkeys(lines)))
        own = self._definitions(built, context)
        self.is_built = True
        models = beside(context)
        alone = wanted is not None or _without_sensors.get()
        if alone or not all(one.is_built for one in models):
            return own
        # the sensors are of all models, and Dagster takes them from one component: the last built
        kept = [one._built(context) for one in models]  # noqa: SLF001 of this class
        return dg.Definitions.merge(
            own, sensors([one for one in kept if isinstance(one, Declaration)])
        )

    def _definitions(
        self, built: Declaration | Broken, context: dg.ComponentLoadContext
    ) -> dg.Definitions:
        if isinstance(built, Declaration):
            try:
                return definitions(built, self.origin, context.project_root)
            except Exception as error:  # noqa: BLE001 one declaration never stops another, whatever it meets
                built = Broken(self.name, [Finding((), raised(error))], self.origin)
                self._found = True, built
        return built.definitions(context.project_root)

    def _built(
        self, context: dg.ComponentLoadContext, *, thorough: bool = False
    ) -> Declaration | Broken:
        """Return the declaration with absolute references, or why it can't be kept; found once."""
        if self._found is None or (thorough and not self._found[0]):
            self._found = thorough, self._check(context, thorough=thorough)
        return self._found[1]

    def _check(self, context: dg.ComponentLoadContext, *, thorough: bool) -> Declaration | Broken:
        found = list(self._broken.findings) if self._broken else []
        if same := [one for one in beside(context) if one.name == self.name and one is not self]:
            others = ", ".join(place_of_component(one, context.project_root) for one in same)
            found.append(
                Finding(
                    ("name",), f"another model is called `{self.name}` too, in {others}; rename one"
                )
            )
        if self.declaration is None:
            return Broken(self.name, found, self.origin)
        declaration = self.declaration.within(self.module or "")
        try:
            found = found or declared_problems(declaration)
            if thorough and not found:
                from mlops_assets.checking.trial import trial_problems

                found = trial_problems(declaration)
        except Exception as error:  # noqa: BLE001 one declaration never stops another, whatever it meets
            found = [Finding((), f"{type(error).__name__}: {error}")]
        return Broken(self.name, found, self.origin) if found else declaration


def beside(context: dg.ComponentLoadContext) -> list[ModelComponent]:
    """Return every model's component of the code location, this one too."""
    tree = context.component_tree
    if not _newest or _newest[0][0] is not tree:
        # asked of it by each of a hundred models, Dagster would walk all its files as often
        _newest[:] = [(tree, tree.get_all_components(of_type=ModelComponent))]
    return _newest[0][1]


_newest: list[tuple[ComponentTree, list[ModelComponent]]] = []


def wanted_here(context: dg.ComponentLoadContext) -> set[str] | None:
    """Return the models that this process has to build; None where it has to build all."""
    tree = context.component_tree
    if not _wanted or _wanted[0][0] is not tree:
        # of a few models all are built sooner than Dagster is asked whose run this is
        several = len(beside(context)) > FEW
        _wanted[:] = [(tree, models_of_run() if several else None)]
    return _wanted[0][1]


_wanted: list[tuple[ComponentTree, set[str] | None]] = []


def module_of(context: dg.ComponentLoadContext) -> str:
    """Return the module below which a component's references such as `.schema:X` are meant."""
    return context.defs_relative_module_name(context.path)


def origin_of(context: dg.ComponentLoadContext) -> Origin | None:
    """Return the document of the file from which a component is loaded; None if from Python."""
    file = find_defs_or_component_yaml(context.path) if context.path.is_dir() else None
    key = getattr(context.component_loc, "instance_key", None)
    return Origin(file, key if isinstance(key, int) else 0) if file else None


def place_of_component(component: ModelComponent, root: Path) -> str:
    """Return where a component's name is written."""
    if component.origin is None:
        return "a module"
    return Finding(("name",), "").place(component.origin, root)


def definitions(
    declaration: Declaration, origin: Origin | None = None, root: Path | None = None
) -> dg.Definitions:
    """Return the assets and gates of one declared model.

    Args:
        declaration: with absolute references.
        origin: where it is written, if in a YAML file.
        root: the project's folder, below which that is named.

    """
    name = declaration.name
    assets: list[dg.AssetsDefinition | dg.SourceAsset] = [
        source.build(declaration, "batches"),
        source.build(declaration, "labels"),
        batches.build(declaration, "batches"),
        batches.build(declaration, "labels"),
        features.build(declaration),
        training_set.build(declaration),
        model.build(declaration),
        evaluation.build(declaration),
        champion.build(declaration),
        predictions.build(declaration),
        drift_profile.build(declaration),
        performance.build(declaration),
        staleness.build(declaration),
    ]
    metadata = {DECLARATION + name: dg.MetadataValue.json(declaration.model_dump(mode="json"))}
    if origin is not None:
        file = origin.file
        if root is not None and file.is_relative_to(root):
            file = file.relative_to(root)
        metadata[ORIGIN + name] = dg.MetadataValue.json(
            {"file": str(file), "document": origin.document}
        )
    return dg.Definitions(
        assets=assets,
        asset_checks=evaluation.gates(declaration),
        resources=RESOURCES,
        executor=dg.in_process_executor,
        metadata=metadata,
    )


def declared_in(loaded: dg.Definitions) -> list[Declaration]:
    """Return what is declared of the models of some definitions, with absolute references."""
    return [
        Declaration.model_validate(value.data)
        for key, value in (loaded.metadata or {}).items()
        if key.startswith(DECLARATION) and isinstance(value, dg.JsonMetadataValue)
    ]


def sensors(declarations: Sequence[Declaration]) -> dg.Definitions:
    """Return the sensors of a code location with some models; none where there are none."""
    if not declarations:
        return dg.Definitions()
    return dg.Definitions(
        sensors=[data.build(declarations), decision.build(declarations)], resources=RESOURCES
    )
