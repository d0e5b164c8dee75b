"""The run's own certificates."""

from __future__ import annotations

import base64
import datetime
import stat
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID
from test_plan import CONFIG

from harness.platforms.local import identities
from harness.platforms.local.certs import Authority
from harness.platforms.local.components import components
from harness.platforms.local.identity import VALID_FOR, Identity, kubeconfig, write_private


def test_a_certificate_names_its_user_and_groups_and_is_signed_by_its_authority_alone() -> None:
    authority, other = Authority("ours"), Authority("other")
    pem, _ = authority.issue(Identity(name="a", common_name="alice", groups=("one", "two")))
    certificate = x509.load_pem_x509_certificate(pem)
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "alice"
    assert [a.value for a in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["one", "two"]
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.pem))
    with pytest.raises((ValueError, InvalidSignature)):
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(other.pem))


def test_a_certificate_is_short_lived_and_only_servers_have_hosts() -> None:
    authority = Authority("ours")
    client = x509.load_pem_x509_certificate(authority.issue(Identity(name="c", common_name="c"))[0])
    server = x509.load_pem_x509_certificate(authority.issue(Identity(name="s", common_name="s", hosts=("127.0.0.1", "x")))[0])
    assert client.not_valid_after_utc - client.not_valid_before_utc <= VALID_FOR * 1.01
    assert [e for e in client.extensions if isinstance(e.value, x509.SubjectAlternativeName)] == []
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert names.get_values_for_type(x509.DNSName) == ["x"]


def test_a_private_file_can_be_read_by_its_owner_alone_and_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_private(path, b"a longer text")
    write_private(path, b"short")
    assert path.read_bytes() == b"short"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nobody_is_a_master_but_the_bootstrap_which_is_valid_for_minutes_and_has_no_files_that_stay() -> None:
    everybody = (identities.BOOTSTRAP, *identities.CLIENTS, *identities.GITOPS_CLIENTS)
    masters = [identity for identity in everybody if "system:masters" in identity.groups]
    assert masters == [identities.BOOTSTRAP]
    assert masters[0].valid_for <= datetime.timedelta(minutes=10)
    certificate = x509.load_pem_x509_certificate(Authority("ours").issue(masters[0])[0])
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc <= datetime.timedelta(minutes=11)
    over = next(each for each in components(CONFIG) if each.name == "bootstrap-over")
    users = [each.name for each in components(CONFIG) if any("bootstrap.kubeconfig" in argument for argument in each.argv)]
    assert over.argv == ("/bin/rm", "-f", str(CONFIG.kubeconfig("bootstrap")))
    assert set(users) == {*over.needs, over.name}, "its kubeconfig is removed once everybody who uses it is done"


def test_every_role_that_is_bound_exists_here_or_comes_from_upstream() -> None:
    objects = [each for each in yaml.safe_load_all(identities.manifests()) if each]
    roles = {each["metadata"]["name"] for each in objects if each["kind"] in {"Role", "ClusterRole"}}
    upstream = {"cluster-admin", "argo-rollouts", "istiod-clusterrole-istio-system", "istiod-gateway-controller-istio-system"}
    bound = {each["roleRef"]["name"] for each in objects if each["kind"].endswith("Binding")}
    assert bound <= roles | upstream
    subjects = [each["subjects"][0] for each in objects if each["kind"].endswith("Binding")]
    users = {each["name"] for each in subjects if each["kind"] == "User"}
    assert users <= {identity.common_name for identity in identities.CLIENTS}
    assert {each["name"] for each in subjects if each["kind"] == "Group"} == {identities.ADMINS}


def test_a_kubeconfig_holds_everything_it_needs() -> None:
    text = kubeconfig(cluster="c", server="https://127.0.0.1:1", ca=b"ca", user="u", cert=b"cert", key=b"key")
    parsed = yaml.safe_load(text)
    assert base64.b64decode(parsed["clusters"][0]["cluster"]["certificate-authority-data"]) == b"ca"
    assert "insecure-skip-tls-verify" not in text.decode()
