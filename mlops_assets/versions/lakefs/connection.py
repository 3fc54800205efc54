"""One way to a server: every call has a time-out, and is repeated only where that can't do harm."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from mlops_assets.errors import MlopsError, RepositoryBusyError, RepositoryUnreachableError
from mlops_assets.versions.lakefs.failures import Kind, asked_pause, kind_of, translated
from mlops_assets.versions.lakefs.settings import Settings
from mlops_assets.versions.patience import seconds_left

PAGE = 1000  # the most that the server lists at once

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds
_CONNECT = 10.0  # seconds
_LEAST = 0.1  # seconds that a reply has in any case
_SILENCE = 2.0  # seconds of waiting after which it is said what for
_GARBLED = 4  # answers in a row that are none: a cut may repeat, a page of a proxy stays
# how the SDK's calls begin whose answer is more than that it was done
_ANSWERED = ("get_", "list_", "log_", "stat_", "diff_", "find_", "delete_objects")

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class Connection:
    """The SDK's calls, with time-outs, patience and the contract's errors. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        # a second or so, the first time: only who speaks to a server pays for it
        from lakefs_sdk.api.branches_api import BranchesApi
        from lakefs_sdk.api.commits_api import CommitsApi
        from lakefs_sdk.api.config_api import ConfigApi
        from lakefs_sdk.api.experimental_api import ExperimentalApi
        from lakefs_sdk.api.objects_api import ObjectsApi
        from lakefs_sdk.api.refs_api import RefsApi
        from lakefs_sdk.api.repositories_api import RepositoriesApi
        from lakefs_sdk.api.tags_api import TagsApi
        from lakefs_sdk.api_client import ApiClient
        from lakefs_sdk.configuration import Configuration

        self.settings = settings
        # named, so that the SDK neither reads the environment again nor takes half from it
        configuration = Configuration(
            host=f"{settings.endpoint}/api/v1",
            username=settings.access_key,
            password=settings.secret_key,
        )
        # urllib3 would repeat by itself what we must look at first
        configuration.retries = False
        self.api = ApiClient(configuration)
        self.branches = BranchesApi(self.api)
        self.commits = CommitsApi(self.api)
        self.config = ConfigApi(self.api)
        self.experimental = ExperimentalApi(self.api)
        self.objects = ObjectsApi(self.api)
        self.refs = RefsApi(self.api)
        self.repositories = RepositoriesApi(self.api)
        self.tags = TagsApi(self.api)

    @property
    def authorization(self) -> dict[str, str]:
        """The header that says who we are."""
        return {"Authorization": self.api.configuration.get_basic_auth_token()}

    @property
    def limits(self) -> tuple[float, float]:
        """Seconds to connect in, and seconds that a reply may take to come or to go on."""
        left = seconds_left()
        reply = self.settings.timeout if left is None else min(self.settings.timeout, left + _LEAST)
        return min(_CONNECT, reply), reply

    def ask(self, doing: str, call: Callable[..., _T], *arguments: Any, **options: Any) -> _T:
        """Ask what may be asked twice: reading, or what is the same done twice.

        Raises:
            VersionsError: what the server answered, or that it did not within the patience.
        """

        def once() -> _T:
            answer = call(*arguments, **options, _request_timeout=self.limits)
            return whole(answer) if call.__name__.startswith(_ANSWERED) else answer

        return self.repeat(doing, once, lambda: None)

    def repeat(self, doing: str, once: Callable[[], _T], already: Callable[[], _T | None]) -> _T:
        """Do something until it is done or refused; never twice.

        Args:
            doing: what for, in messages.
            once: does it; sees to its own time-out.
            already: looks whether it was done after all, when a reply was lost: returns its result,
                or None if it was not.

        Raises:
            VersionsError: what the server answered, or that it did not within the patience.
        """
        waiting = _Waiting(self.settings, doing)
        unknown = False
        while True:
            try:
                if unknown:
                    found = already()
                    if found is not None:
                        return found
                return once()
            except MlopsError:
                raise  # from `already`, or below it: told in its own words
            except Exception as error:
                kind = kind_of(error)
                unknown = unknown or kind in {Kind.UNKNOWN, Kind.GARBLED}
                if waiting.is_over(kind):
                    if unknown:
                        # an earlier try may have done it: "exists", "no changes", "not found" now
                        with suppress(RepositoryUnreachableError, RepositoryBusyError):
                            found = already()
                            if found is not None:
                                return found
                    if not _of_the_wire(error):
                        raise
                    raise translated(error, doing, self.settings.endpoint) from error
                waiting.pause(error)

    def pages(
        self,
        doing: str,
        call: Callable[..., Any],
        *arguments: Any,
        first: int = PAGE,
        **options: Any,
    ) -> Iterator[Any]:
        """Yield the results of a listing, page after page; the first page has `first`."""
        after: str | None = None
        amount = first
        while True:
            place = {} if after is None else {"after": after}
            page = self.ask(doing, call, *arguments, **options, **place, amount=amount)
            yield from page.results
            if not page.pagination.has_more:
                return
            after, amount = page.pagination.next_offset, PAGE


class _Waiting:
    """How often and how long one thing is tried."""

    def __init__(self, settings: Settings, doing: str) -> None:
        self._endpoint, self._doing = settings.endpoint, doing
        self._begun = time.monotonic()
        left = seconds_left()
        patience = settings.patience if left is None else min(settings.patience, left)
        self._ends = self._begun + patience
        self._pause = _FIRST_PAUSE
        self._garbled = 0
        self._said = False

    def is_over(self, kind: Kind) -> bool:
        """Say whether a failure of this kind is the last one."""
        self._garbled += kind is Kind.GARBLED
        return kind is Kind.REFUSED or self._garbled > _GARBLED or time.monotonic() >= self._ends

    def pause(self, error: Exception) -> None:
        """Wait for the next try; say what for, once it takes long."""
        now = time.monotonic()
        left = self._ends - now
        _log.info("%s: %s, asked again", self._doing, type(error).__name__)
        if not self._said and now - self._begun > _SILENCE:
            self._said = True
            # a person looks at something that stands still
            why = str(translated(error, self._doing, self._endpoint)).split("; ", 1)[0]
            _log.warning("%s; asked again for another %.0f s", why, left)
        # apart from each other, so that those who failed together don't come together
        apart = self._pause * random.uniform(0.5, 1.0)  # noqa: S311  # no secret
        time.sleep(max(0.0, min(left, asked_pause(error) + apart)))
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)


def whole(answer: _T | None) -> _T:
    """Return what was answered; raises ValueError where the reply came without its content."""
    if answer is None:
        raise ValueError("an empty reply")
    return answer


def _of_the_wire(error: Exception) -> bool:
    from lakefs_sdk.exceptions import OpenApiException
    from urllib3.exceptions import HTTPError

    # a reply that is no lakeFS' (a proxy's page, a half) fails in the SDK's reading of it
    return isinstance(error, OpenApiException | HTTPError | OSError | ValueError)
