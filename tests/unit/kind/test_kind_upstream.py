"""The few changes to upstream's manifests."""

from __future__ import annotations

import pytest
import yaml
from kind_cases import CONFIG_MAP, SOURCES

from harness.errors import PlatformError
from harness.platforms.kind.upstream import changed, images_of, kiali_settings, name_of, pinned, without_tls

SCHEMA = "properties:\n  image:\n    type: string\n"


def test_images_are_replaced_in_every_form_and_schemas_are_left_alone() -> None:
    text = f"""{SCHEMA}containers:\n- image: a/b:latest\n- name: x\n  image: "a/b:v1"\n"""
    assert images_of(pinned(text, {"a/b": "a/b:v2"})) == ("a/b:v2",)
    assert pinned(text, {"a/b": "a/b:v2"}).startswith(SCHEMA)


def test_an_image_without_a_pin_is_refused() -> None:
    with pytest.raises(PlatformError, match=r"a/c:v1.*pins\.py"):
        pinned("image: a/c:v1\n", {"a/b": "a/b:v2"})


@pytest.mark.parametrize(
    ("image", "name"),
    [("a", "a"), ("a:1", "a"), ("h:5/a", "h:5/a"), ("h:5/a:1", "h:5/a"), ("a@sha256:0", "a"), ("h:5/a:1@sha256:0", "h:5/a")],
)
def test_the_name_of_an_image(image: str, name: str) -> None:
    assert name_of(image) == name


def test_one_object_is_changed_and_the_others_stay_as_they_are() -> None:
    first, second = SOURCES.argo_cd.split("---\n", 1)
    text = changed(SOURCES.argo_cd, "ConfigMap", "argocd-cmd-params-cm", without_tls)
    assert text.endswith(second)
    documents = list(yaml.safe_load_all(text))
    assert documents[0] == {**yaml.safe_load(first), "data": {"server.insecure": "true"}}


def test_an_object_that_is_not_there_or_there_twice_is_refused() -> None:
    with pytest.raises(PlatformError, match="0 objects ConfigMap/other"):
        changed(SOURCES.argo_cd, "ConfigMap", "other", without_tls)
    twice = "---\n".join([CONFIG_MAP.format(name="other")] * 2)
    with pytest.raises(PlatformError, match="2 objects ConfigMap/other"):
        changed(twice, "ConfigMap", "other", without_tls)


def test_kiali_is_told_where_prometheus_is_and_keeps_its_other_settings() -> None:
    text = changed(SOURCES.kiali, "ConfigMap", "kiali", kiali_settings("http://p:9090"))
    settings = yaml.safe_load(next(each for each in yaml.safe_load_all(text) if each)["data"]["config.yaml"])
    assert settings == {
        "external_services": {"prometheus": {"enabled": True, "url": "http://p:9090"}, "tracing": {"enabled": False}}
    }
