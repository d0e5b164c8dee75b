"""`harness role`: what an administrator has to grant for runs in a namespace."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from harness.errors import UsageError
from harness.names import is_domain, is_label, is_text
from harness.options import CHART, parse_set
from harness.paths import PATH


@click.command()
@click.option("--namespace", required=True, metavar="NAME", help="The namespace in which the runs are to be.")
@click.option("--user", metavar="NAME", help="Who runs them: a user, as the cluster knows them.")
@click.option("--group", metavar="NAME", help="The same: a group.")
@click.option("--service-account", metavar="NAMESPACE:NAME", help="The same: a service account.")
@click.option("--forward-to", "forwards", multiple=True, metavar="NAMESPACE", help="Also port-forwards to Services of this one.")
@click.option("--chart", type=PATH, default=CHART, help="Another chart than our own.")
@click.option("--values", type=PATH, multiple=True, help="A values file for the chart (repeatable).")
@click.option("--set", "set_values", multiple=True, metavar="KEY=VALUE", help="A chart value.")
def role(
    *, namespace: str, user: str | None, group: str | None, service_account: str | None, forwards: tuple[str, ...], chart: Path,
    values: tuple[Path, ...], set_values: tuple[str, ...],
) -> int:  # fmt: skip
    """Print the Role with exactly the rights that runs in a namespace use, and its binding, for `kubectl apply -f -`.

    The rights follow from what the chart renders to, so give the --values and --set of the runs. No cluster is asked.
    """
    import yaml  # noqa: PLC0415 -- `--help` should not wait for what only this command needs

    from harness.platforms.cluster.namespaces import checked  # noqa: PLC0415
    from harness.platforms.cluster.rights import in_namespace, manifest, to_forward  # noqa: PLC0415

    subject = _subject(user, group, service_account)
    others = sorted({checked(each, option="--forward-to", to_run_in=False) for each in forwards} - {namespace})
    kinds = _kinds(checked(namespace, option="--namespace"), chart, values, parse_set(set_values))
    objects = manifest(in_namespace(kinds, namespace), namespace=namespace, subject=subject)
    for each in others:
        objects += manifest(to_forward(each), namespace=each, subject=subject)
    click.echo(yaml.safe_dump_all(objects, sort_keys=False), nl=False)
    return 0


def _subject(user: str | None, group: str | None, service_account: str | None) -> dict[str, str]:
    from harness.platforms.cluster.rights import RBAC  # noqa: PLC0415

    given = [each for each in (user, group, service_account) if each is not None]
    if len(given) != 1:
        raise UsageError("say who runs it: one of --user, --group and --service-account")
    if not is_text(given[0]):
        raise UsageError(f"--user, --group or --service-account {given[0]}: give a name in one line, of at most 253 characters")
    if not service_account:
        return {"apiGroup": RBAC, "kind": "User" if user else "Group", "name": given[0]}
    namespace, colon, name = service_account.partition(":")
    if not (colon and is_label(namespace) and is_domain(name)):
        raise UsageError(f"--service-account {service_account}: give NAMESPACE:NAME")
    return {"kind": "ServiceAccount", "namespace": namespace, "name": name}


def _kinds(namespace: str, chart: Path, values: tuple[Path, ...], set_values: dict[str, object]) -> frozenset[tuple[str, str]]:
    from harness.chart import Helm  # noqa: PLC0415
    from harness.platforms.cluster.rights import kinds_of  # noqa: PLC0415
    from harness.platforms.local import binaries  # noqa: PLC0415
    from harness.release import RELEASE  # noqa: PLC0415

    found = binaries.find()
    if found is None:
        raise UsageError("the harness' programs are not built yet: run ./run.sh setup")
    with tempfile.TemporaryDirectory() as home:
        helm = Helm(binary=found["helm"], kubeconfig=Path("/dev/null"), home=Path(home))
        return kinds_of(helm.template(RELEASE, namespace, chart, values_files=values, set_values=set_values))
