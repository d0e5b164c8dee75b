"""The one context of a kubeconfig that is used, and how its API is asked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from harness.errors import PlatformError, UsageError
from harness.files import MIB, read_text
from harness.plain import look_through

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

TIMEOUT_SECONDS = 10.0
DEFAULT_KUBECONFIG = Path("~/.kube/config")


@dataclass(frozen=True, kw_only=True)
class Access:
    """A context in a kubeconfig. Both are always named to whoever talks to the cluster, so no current context has a say."""

    kubeconfig: Path
    context: str
    server: str
    """The API's address, to tell a context from another of the same name."""

    def client(self) -> ApiClient:
        """A new client. Raises PlatformError when the kubeconfig's credentials cannot be used."""
        from kubernetes import config  # noqa: PLC0415 -- it takes a while, and few commands need it

        try:
            # Not persisted: a token that is renewed goes into nobody's file.
            client: ApiClient = config.new_client_from_config(
                config_file=str(self.kubeconfig), context=self.context, persist_config=False
            )
        except Exception as error:
            raise PlatformError(f"--context {self.context}: its credentials cannot be used: {_line(error)}") from None
        return client


def find(kubeconfig: Path | None, context: str, environment: Mapping[str, str] = os.environ) -> Access:
    """The context in this file, or in the one that kubectl would read. Raises UsageError when there is none of that name."""
    file = kubeconfig or _usual(environment)
    try:
        file = file.expanduser().absolute()
        text = read_text(file, told=f"the kubeconfig {file}", most=16 * MIB)
        look_through(text)
        found: Any = yaml.safe_load(text)
        contexts = {str(each["name"]): each["context"] for each in found["contexts"] or ()}
        clusters = {str(each["name"]): each["cluster"] for each in found["clusters"] or ()}
    except UsageError as error:
        raise UsageError(f"{error}: name one with --kubeconfig") from None
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError, RuntimeError):
        raise UsageError(f"{file} is no kubeconfig: name one with --kubeconfig") from None
    if context not in contexts:
        raise UsageError(f"--context {context}: {file} has no such context; it has {', '.join(sorted(contexts)) or 'none'}")
    try:
        server = str(clusters[contexts[context]["cluster"]]["server"])
    except (KeyError, TypeError):
        raise UsageError(f"--context {context}: {file} does not say where its cluster is") from None
    return Access(kubeconfig=file, context=context, server=server)


def _usual(environment: Mapping[str, str]) -> Path:
    several = [part for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
    if len(several) > 1:
        raise UsageError(f"KUBECONFIG names {len(several)} files: say with --kubeconfig which of them has the context")
    return Path(several[0]) if several else DEFAULT_KUBECONFIG


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0][:300]
