"""What an API that refuses, or does not answer, means for a release that is under way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from urllib3.exceptions import MaxRetryError

from harness.errors import PlatformError
from harness.gitops import argocd
from harness.gitops.argocd import ArgoCd, Unanswered


class Api:
    """Answers what it is told to, in turn."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)

    def get_namespaced_custom_object(self, **_: Any) -> Any:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def made(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> ArgoCd:
    api = Api(*answers)
    monkeypatch.setattr(argocd.config, "new_client_from_config", lambda **_: None)
    monkeypatch.setattr(argocd.client, "CustomObjectsApi", lambda _: api)
    return ArgoCd(kubeconfig=Path("/k"), context="c", namespace="argocd")


def refused(status: int) -> client.ApiException:
    return client.ApiException(status=status, reason="so it is")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_api_that_is_unwell_may_answer_another_time(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    with pytest.raises(Unanswered, match=f"get applications webapp: {status} so it is"):
        made(monkeypatch, refused(status)).get("applications", "webapp")


def test_so_may_one_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unanswered, match="does not answer"):
        made(monkeypatch, MaxRetryError(None, "/", None)).get("applications", "webapp")  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [401, 403])
def test_who_was_let_in_is_let_in_again(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    argo = made(monkeypatch, refused(status), {}, refused(status), refused(409))
    with pytest.raises(PlatformError, match=f"{status} so it is") as first:
        argo.get("applications", "webapp")
    assert not isinstance(first.value, Unanswered), "rights that it never had"
    assert argo.get("applications", "webapp") == {}
    with pytest.raises(Unanswered):
        argo.get("applications", "webapp")
    with pytest.raises(PlatformError) as last:
        argo.get("applications", "webapp")
    assert not isinstance(last.value, Unanswered)


def test_none_of_that_name_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert made(monkeypatch, refused(404)).get("applications", "webapp") is None
