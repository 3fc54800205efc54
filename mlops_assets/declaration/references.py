"""What a declaration names of the project's own Python: `package.module:NAME`, loaded.

An error in the module is told with the line of the project's own code that led to it.
"""

from __future__ import annotations

import importlib
import re
import sysconfig
import traceback
from pathlib import Path
from typing import Any

from mlops_assets.declaration.sections import REFERENCE
from mlops_assets.errors import DeclarationError, UnknownNameError


def load(reference: str) -> Any:
    """Return what `package.module:NAME` names.

    Raises:
        DeclarationError: no such module, one that raises, or no such name in it.

    """
    module_name, _, name = reference.partition(":")
    if not re.match(REFERENCE, reference) or reference.startswith("."):
        raise DeclarationError(f"`{reference}` is no reference of the form package.module:NAME")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        where = place(error) if error.name and not module_name.startswith(error.name) else ""
        imports = f", which {where} imports" if where else ""
        raise DeclarationError(f"`{reference}`: no module `{error.name}`{imports}") from error
    except (Exception, SystemExit) as error:  # whatever a module raises while it is imported
        raise DeclarationError(f"`{reference}` can't be imported: {raised(error)}") from error
    try:
        return getattr(module, name)
    except AttributeError as error:
        public = [known for known in vars(module) if not known.startswith("_")]
        raise DeclarationError(
            str(UnknownNameError.among(f"name in {module_name}", name, public))
        ) from error


def raised(error: BaseException) -> str:
    """Return what a module raised, with file and line of the project's own code, on one line."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: {error.msg}"
    where, said = place(error), " ".join(str(error).split())
    return ": ".join(part for part in (where, type(error).__name__, said) if part)


def place(error: BaseException) -> str:
    """Return `file:line` of the last line of the project's own code that led to an error."""
    library = sysconfig.get_paths()["stdlib"]
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in frame.filename
        and not frame.filename.startswith((library, "<frozen"))
        and frame.filename != __file__
    ]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""


def place_of(reference: str) -> Path:
    """Return the file of the module in `package.module:NAME`, which `load` has loaded."""
    module = importlib.import_module(reference.partition(":")[0])
    return Path(str(module.__file__)).resolve()
