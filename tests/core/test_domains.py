import pytest

import predict  # noqa: F401  it gathers the keys of the domains
from src.core.domains import Domain, domain_of, domain_of_target, domains
from src.core.signatures import signature_of
from tests.support.programs import ROOT, composed

NAMES = [domain.name for domain in domains()]


def test_every_declared_domain_is_known():
    assert sorted(path.stem for path in (ROOT / "src" / "domains").glob("[!_]*.py")) == NAMES


@pytest.mark.parametrize("domain", domains(), ids=NAMES)
def test_all_that_a_domain_names_exists(domain):
    for name in filter(None, (domain.suffixes, domain.check, domain.predict, domain.served, domain.shown)):
        assert Domain.load(name) is not None
    assert domain.title.lower() == domain.name


@pytest.mark.parametrize("domain", domains(), ids=NAMES)
def test_a_predictors_arguments_are_keys_of_predict_yaml(domain):
    signature = signature_of(domain.predict)
    assert set(signature.annotations) - {"models"} <= set(composed(name="predict"))


@pytest.mark.parametrize("domain", domains(), ids=NAMES)
def test_a_spec_tells_its_domain(domain):
    assert domain_of({domain.spec_key: [8, 8], "num_classes": 3}) is domain


def test_a_spec_of_no_domain():
    assert domain_of({"num_classes": 3, "vocabulary": []}) is None


@pytest.mark.parametrize("domain", domains(), ids=NAMES)
def test_a_target_tells_its_domain(domain):
    assert domain_of_target(f"src.models.{domain.name}.net.Net") is domain
    assert domain_of_target(f"src.models.{domain.name}_more.Net") is None
