"""Which row the deliverer tries next, and what becomes of one that fails."""

from collections.abc import Callable
from typing import Any

from support_tracking import study_payload, trial_payload

from autoopt.tracking.backlog import RETRY_S, STRIKES, TRIES_OF_A_REFUSED, Backlog, Refused, Unreachable

Rule = Callable[[str], Exception | None]


class Server:
    """Takes payloads, or says what its rule says for their uid."""

    def __init__(self, rule: Rule = lambda uid: None) -> None:
        self.rule = rule
        self.taken: list[tuple[str, str]] = []
        self.asked: list[str] = []

    def deliver(self, payload: dict[str, Any]) -> None:
        self.asked.append(payload["uid"])
        if (error := self.rule(payload["uid"])) is not None:
            raise error
        self.taken.append((payload["uid"], payload["status"]))


def backlog_of(server: Server, *payloads: dict[str, Any]) -> tuple[Backlog, list[tuple[str, int]]]:
    answers: list[tuple[str, int]] = []

    def answer(word: str, number: int) -> None:
        if word != "trying":
            answers.append((word, number))

    backlog = Backlog(server.deliver, answer)
    for number, payload in enumerate(payloads):
        backlog.add(number, payload)
    return backlog, answers


def test_rows_go_in_their_order_and_each_is_told() -> None:
    server = Server()
    backlog, answers = backlog_of(server, study_payload(), trial_payload(0), trial_payload(1))
    assert [backlog.step() for _ in range(3)] == [0.0, 0.0, 0.0]
    assert [uid.rpartition("/")[2] for uid, _ in server.taken[1:]] == ["0", "1"]
    assert answers == [("done", 0), ("done", 1), ("done", 2)]
    assert not backlog


def test_a_server_that_is_away_loses_nothing_and_is_asked_less_and_less() -> None:
    server = Server(lambda uid: Unreachable("away"))
    backlog, answers = backlog_of(server, *(trial_payload(n) for n in range(4)))
    assert [backlog.step() for _ in range(6)] == [*RETRY_S, RETRY_S[-1]]
    for _ in range(500):
        backlog.step()
    assert answers == []
    assert len(backlog) == 4
    server.rule = lambda uid: None
    while backlog:
        assert backlog.step() == 0.0
    assert sorted(answers) == [("done", n) for n in range(4)]


def test_what_is_refused_for_good_is_given_up_and_the_rest_goes_through() -> None:
    server = Server(lambda uid: Refused("too odd") if uid.endswith("/1") else None)
    backlog, answers = backlog_of(server, *(trial_payload(n) for n in range(4)))
    while backlog:
        assert backlog.step() == 0.0
    assert sorted(number for word, number in answers if word == "done") == [0, 1, 2, 3]
    assert [uid[-1] for uid, _ in server.taken] == ["0", "2", "3"]
    assert sum(uid.endswith("/1") for uid in server.asked) == TRIES_OF_A_REFUSED


def test_a_row_that_fails_alone_is_held_with_its_lane_and_not_called_delivered() -> None:
    server = Server(lambda uid: Unreachable("no right to") if uid.endswith("/0") else None)
    backlog, answers = backlog_of(server, trial_payload(0), trial_payload(0, status="FAILED"))
    for number in range(2, 40):
        backlog.add(number, trial_payload(number))
        backlog.step()
        backlog.step()
        if not backlog:
            break
    assert [a for a in answers if a[0] == "held"] == [("held", 0), ("held", 1)]
    assert server.asked.count(trial_payload(0)["uid"]) == STRIKES + 1
    backlog.add(99, trial_payload(0))
    assert answers[-1] == ("held", 99), "a later row of the lane must not overtake"


def test_rows_of_one_run_never_change_places() -> None:
    failing = iter([Unreachable("away"), None, Unreachable("away"), Refused("odd"), None, None, None, None])
    server = Server(lambda uid: next(failing))
    ended = study_payload(status="FINISHED", end_ms=1)
    backlog, answers = backlog_of(server, study_payload(), trial_payload(0), ended, trial_payload(1))
    while backlog:
        backlog.step()
    assert len(answers) == 4
    assert [status for uid, status in server.taken if uid == ended["uid"]] == ["RUNNING", "FINISHED"]


def test_models_of_one_name_never_change_places() -> None:
    failing = iter([Unreachable("away"), None, None])
    server = Server(lambda uid: next(failing))
    models = [trial_payload(n, uid=f"m{n}", kind="model", registered_name="s") for n in (1, 2)]
    backlog, _ = backlog_of(server, *models)
    while backlog:
        backlog.step()
    assert [uid for uid, _ in server.taken] == ["m1", "m2"], "the alias must end at the newer"
