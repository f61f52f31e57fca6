"""Errors and policies that come back from copies and pickles as they were."""

import copy
import pickle

import grpc
import pytest

import resilience
from resilience import (
    BreakerConfig,
    ClientPolicy,
    FallbackConfig,
    MethodPolicy,
    PolicyFileError,
    policies,
    standard,
)
from resilience._call_fallback import NOTHING
from resilience._file import load_document
from resilience.aio_errors import as_rpc_error
from resilience.sync_calls import as_ended, refused

pytestmark = pytest.mark.resilience

REFUSALS = [
    resilience.CircuitOpenError("a", 1.0),
    resilience.BulkheadFullError("a", 7),
    resilience.DeadlineSpentError("a", 0.5),
    resilience.BudgetSpentError("a"),
    resilience.ThrottledError("a", 0.5),
    resilience.LimitReachedError("a", 3),
    resilience.NoBackendError("a"),
]
WAYS = [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))]


@pytest.mark.parametrize("again", WAYS)
@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
def test_refusals_keep_class_text_and_what_they_know(error, again):
    """Bare, for blocking calls and for grpc.aio."""
    for given in (error, refused(error), as_rpc_error(error)):
        found = again(given)

        assert type(given) is type(found)
        assert str(given) == str(found)
        assert given.args == found.args
        assert given.__dict__ == found.__dict__


@pytest.mark.parametrize("again", WAYS)
def test_refusals_stay_calls_with_a_status(again):
    """Code and trailers come along, for errors of every shape."""
    cause = resilience.LimitReachedError("a", 3)
    for given in (refused(cause), as_rpc_error(cause)):
        found = again(given)

        assert grpc.StatusCode.RESOURCE_EXHAUSTED is found.code()
        assert [("x-seawall-refusal", "limit")] == list(found.trailing_metadata())
    assert grpc.StatusCode.ABORTED is again(as_ended("ABORTED", "why")).code()


@pytest.mark.parametrize("again", WAYS)
def test_a_policy_files_problems_stay_apart(again):
    """Two problems are two, and the text says each once."""
    found = again(PolicyFileError(["a", "b"]))

    assert ("a", "b") == found.problems
    assert "a; b" == str(found)


@pytest.mark.parametrize("again", WAYS)
def test_policies_are_values(again):
    """A policy's copy equals it and has its hash, with methods and without."""
    mine = policies(
        "catalog",
        BreakerConfig(),
        FallbackConfig(stale_s=1),
        methods={"Get": MethodPolicy(timeout_s=0.5)},
    )
    for given in (standard("catalog"), mine, load_document("[targets.a]")):
        found = again(given)

        assert given == found
        assert hash(given) == hash(found)
    assert 0.5 == again(mine).for_method("Get").timeout_s
    assert again(FallbackConfig(stale_s=1)).value is NOTHING


def test_a_policys_methods_do_not_change_with_what_they_were_made_of():
    """The caller's own mapping may change; the policy stays as it was given."""
    given = {"Get": MethodPolicy(timeout_s=0.5)}
    policy = ClientPolicy(target="catalog", methods=given)
    given.clear()

    assert {"Get": MethodPolicy(timeout_s=0.5)} == policy.methods
    assert policy.methods == {"Get": MethodPolicy(timeout_s=0.5)}
    assert "Get" in repr(policy.methods)
    with pytest.raises(TypeError):
        policy.methods["Put"] = MethodPolicy()
