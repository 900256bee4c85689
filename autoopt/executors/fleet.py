"""The servers of an executor: the one that serves, one that imports more beside it, those that are being left.

The first server imports little, so that the first attempt starts at once. After that a second one imports the rest;
when it is ready it takes over. A server that dies is replaced; one that dies while importing is replaced by one that
imports nothing ahead, because its attempts will then tell what is wrong.
"""

import selectors
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import final

from autoopt.executors.link import ServerLink


@final
class Fleet:
    """Keeps one server serving. Its links are registered with the selector, with themselves as data."""

    def __init__(
        self,
        *,
        selector: selectors.BaseSelector,
        fresh: bool,
        preload: Sequence[str],
        warm: Sequence[str],
        threads: int,
        memory_bytes: int | None,
        log: Path,
    ) -> None:
        self._selector = selector
        self._fresh = fresh
        self._preload = () if fresh else tuple(preload)
        self._warm = () if fresh else tuple(warm)
        self._threads = threads
        self._memory_bytes = memory_bytes
        self._log = log
        self._current: ServerLink | None = None
        self._next: ServerLink | None = None
        self._left: list[ServerLink] = []

    def serving(self) -> ServerLink:
        """The server that takes the next attempt, started if there is none."""
        if self._current is None:
            self._current = self._open(self._preload)
        return self._current

    def warm_up(self) -> None:
        """Start the server that imports everything; once."""
        if self._warm:
            self._next = self._open((*self._preload, *self._warm))
            self._warm = ()

    def ready(self, link: ServerLink) -> None:
        """A server has imported what it should: the warm one takes over."""
        if link is self._next:
            if self._current is not None:
                self._left.append(self._current)
            self._current, self._next = link, None

    def lost(self, link: ServerLink) -> str:
        """A server is gone: replace it. Returns how it ended."""
        self._selector.unregister(link)
        cause = link.clean_up()
        if link is self._next:
            self._next = None
        elif link is self._current:
            # One that never got ready is replaced when it is needed: it might never get ready at all.
            self._preload = link.modules if link.may_serve_again else ()
            self._current = self._open(self._preload) if link.ready else None
        else:
            self._left.remove(link)
        return cause

    def release(self, busy: Collection[ServerLink]) -> None:
        """Close servers that were left and have no attempt any more."""
        for link in [link for link in self._left if link not in busy]:
            self._selector.unregister(link)
            link.close()
            self._left.remove(link)

    def close(self) -> None:
        """End all servers, and with them their attempts."""
        links = [link for link in (self._current, self._next, *self._left) if link is not None]
        self._current, self._next, self._left = None, None, []
        for link in links:
            self._selector.unregister(link)
            link.hang_up()
        for link in links:
            link.close()

    def _open(self, modules: Sequence[str]) -> ServerLink:
        link = ServerLink(
            modules=modules,
            fresh=self._fresh,
            threads=self._threads,
            memory_bytes=self._memory_bytes,
            log=self._log,
        )
        self._selector.register(link, selectors.EVENT_READ, link)
        return link
