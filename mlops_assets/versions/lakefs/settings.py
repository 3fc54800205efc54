"""Where the server is and how long it is waited for: the standard environment, else ~/.lakectl.yaml."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from mlops_assets.errors import VersionsError

ENDPOINT = "LAKECTL_SERVER_ENDPOINT_URL"
ACCESS_KEY = "LAKECTL_CREDENTIALS_ACCESS_KEY_ID"
SECRET_KEY = "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY"  # noqa: S105  # a variable's name
TIMEOUT = "MLOPS_LAKEFS_TIMEOUT"
PATIENCE = "MLOPS_LAKEFS_PATIENCE"
NAMESPACE = "MLOPS_LAKEFS_NAMESPACE"
CREATE = "MLOPS_LAKEFS_CREATE"
LOCATIONS = "MLOPS_LAKEFS_LOCATIONS"

_API = "/api/v1"


@dataclass(frozen=True)
class Settings:
    """What is needed to speak to a server.

    Attributes:
        endpoint: the server's root, without `/api/v1`.
        access_key: who we are.
        secret_key: never shown.
        timeout: seconds that one reply, or one pause within it, may take.
        patience: seconds over which a server that does not answer, or is busy, is asked again.
        namespace: where the objects of a repository that has to be made first are kept.
        create: the repository that may be made if it is not there.
        locations: `gateway` or `presigned`, how Polars reads; empty finds out.

    """

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    timeout: float = 30.0
    patience: float = 120.0
    namespace: str = ""
    create: str = ""
    locations: str = ""

    @classmethod
    def find(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the environment (this process' by default), and for what it lacks ~/.lakectl.yaml.

        Raises:
            VersionsError: something is missing or can't be read; says which and where to set it.

        """
        given = os.environ if environment is None else environment
        known = {
            name: given[name] for name in (ENDPOINT, ACCESS_KEY, SECRET_KEY) if given.get(name)
        }
        if len(known) < 3:
            known = {**_from_file(_file(given)), **known}
        missing = [name for name in (ENDPOINT, ACCESS_KEY, SECRET_KEY) if not known.get(name)]
        if missing:
            raise VersionsError(
                f"a lakeFS repository needs {', '.join(missing)}: set them in the environment, or "
                "run `lakectl config`, which writes ~/.lakectl.yaml"
            )
        return cls(
            endpoint=_root(known[ENDPOINT]),
            access_key=known[ACCESS_KEY],
            secret_key=known[SECRET_KEY],
            timeout=_seconds(given, TIMEOUT, cls.timeout),
            patience=_seconds(given, PATIENCE, cls.patience),
            namespace=given.get(NAMESPACE, ""),
            create=given.get(CREATE, "").removeprefix("lakefs://").rstrip("/"),
            locations=_one_of(given, LOCATIONS, ("", "gateway", "presigned")),
        )


def _file(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("LAKECTL_CONFIG_FILE") or "~/.lakectl.yaml").expanduser()


def _from_file(file: Path) -> dict[str, str]:
    import yaml

    try:
        content = yaml.safe_load(file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        # not the error's own text: it may quote the line with the secret
        raise VersionsError(
            f"{file} can't be read ({type(error).__name__}); `lakectl config` writes it anew"
        ) from None
    found = {}
    for name, (part, key) in {
        ENDPOINT: ("server", "endpoint_url"),
        ACCESS_KEY: ("credentials", "access_key_id"),
        SECRET_KEY: ("credentials", "secret_access_key"),
    }.items():
        section = content.get(part) if isinstance(content, dict) else None
        value = section.get(key) if isinstance(section, dict) else None
        if isinstance(value, str) and value:
            found[name] = value
    return found


def _root(endpoint: str) -> str:
    root = endpoint.rstrip("/").removesuffix(_API)
    if "://" not in root:
        root = f"http://{root}"
    parts = urlsplit(root)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        shown = f"{parts.scheme}://{parts.hostname or ''}"
        raise VersionsError(
            f"{ENDPOINT} is no address of a server ({shown}): it looks like https://lakefs.example.com"
        )
    return root


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name)
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 86_400:
        raise VersionsError(f"{name} is {text!r}: name a number of seconds, such as {default:.0f}")
    return seconds


def _one_of(environment: Mapping[str, str], name: str, options: tuple[str, ...]) -> str:
    text = environment.get(name, "")
    if text not in options:
        named = " or ".join(f"`{option}`" for option in options if option)
        raise VersionsError(f"{name} is {text!r}: name {named}, or leave it out")
    return text
