from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.registry_server.rules import CONTROLLER_ALIASES, GUARDED_ALIASES, Wish, refusal

APPROVERS = frozenset({"approver", "second approver"})
APPROVAL = Wish(user="approver", change="set_alias", model="m", version="2", key="champion", tags={"author": "trainer"})


def test_an_approver_approves_somebody_elses_version():
    assert refusal(APPROVAL, APPROVERS) == ""


def test_an_author_does_not_approve_their_own_version():
    assert "author" in refusal(replace(APPROVAL, tags={"author": "approver"}), APPROVERS)


def test_a_version_without_an_author_is_approved_by_nobody():
    assert "register it again" in refusal(replace(APPROVAL, tags={}), APPROVERS)


@pytest.mark.parametrize("user", ["trainer", "admin", "", "Approver"])
def test_nobody_else_moves_champion(user):
    assert "only an approver" in refusal(replace(APPROVAL, user=user), APPROVERS)


def test_the_controller_puts_champion_back_and_that_is_no_approval():
    back = replace(APPROVAL, user="controller", tags={"author": "controller"})
    assert refusal(back, APPROVERS) == ""
    assert not back.is_approval


@given(
    st.text(max_size=12), st.sampled_from(sorted(CONTROLLER_ALIASES)), st.sampled_from(["set_alias", "delete_alias"])
)
def test_only_the_controller_moves_the_aliases_of_a_rollout(user, alias, change):
    wish = replace(APPROVAL, user=user, key=alias, change=change)
    assert (refusal(wish, APPROVERS) == "") == (user == "controller")


@given(st.text(max_size=12), st.text(max_size=12).filter(lambda alias: alias not in GUARDED_ALIASES))
def test_other_aliases_are_free(user, alias):
    assert refusal(replace(APPROVAL, user=user, key=alias), APPROVERS) == ""


@pytest.mark.parametrize("key", ["deployment.status", "deployment.reason", "approved_by", "approved_at"])
@pytest.mark.parametrize("change", ["set_tag", "delete_tag"])
def test_only_the_controller_writes_the_tags_of_a_release(key, change):
    wish = replace(APPROVAL, change=change, key=key, value="x")
    assert refusal(wish, APPROVERS)
    assert refusal(replace(wish, user="controller"), APPROVERS) == ""


@pytest.mark.parametrize("key", ["gates", "package.digest", "dataset.digest", "recipe", "trigger", "author"])
def test_what_was_relied_on_stays_as_it_was_registered(key):
    wish = replace(APPROVAL, user="controller", change="set_tag", key=key, tags={key: "first"})
    assert refusal(replace(wish, value="first"), APPROVERS) == ""
    assert refusal(replace(wish, value="second"), APPROVERS)
    assert refusal(replace(wish, change="delete_tag"), APPROVERS)


@pytest.mark.parametrize("key", ["gates", "gates.report", "package.digest", "image.digest", "recipe", "trigger"])
def test_only_the_author_or_admin_adds_what_a_release_is_judged_by(key):
    wish = replace(APPROVAL, user="trainer", change="set_tag", key=key, value="passed")
    assert refusal(wish, APPROVERS) == ""
    assert refusal(replace(wish, user="admin"), APPROVERS) == ""
    for user in ("approver", "controller", "somebody", ""):
        assert "author" in refusal(replace(wish, user=user), APPROVERS)
        assert refusal(replace(wish, user=user, tags={}), APPROVERS)


@pytest.mark.parametrize("change", ["set_tag", "delete_tag"])
def test_only_an_approver_writes_the_meaning_of_an_approval(change):
    wish = replace(APPROVAL, change=change, key="approval.meaning", value="fit to be served")
    assert refusal(wish, APPROVERS) == ""
    for user in ("trainer", "admin", "controller", "somebody"):
        assert "only an approver" in refusal(replace(wish, user=user), APPROVERS)


def test_nobody_registers_a_version_with_the_meaning_of_its_approval():
    wish = Wish(user="approver", change="create_version", model="m", tags={"approval.meaning": "fit"})
    assert "approval" in refusal(wish, APPROVERS)


def test_nobody_names_an_author_afterwards():
    assert refusal(replace(APPROVAL, change="set_tag", key="author", value="x", tags={}), APPROVERS)


def test_nobody_registers_a_version_in_anothers_name():
    wish = Wish(user="trainer", change="create_version", model="m")
    assert refusal(wish, APPROVERS) == ""
    assert refusal(replace(wish, tags={"author": "trainer"}), APPROVERS) == ""
    assert refusal(replace(wish, tags={"author": "approver"}), APPROVERS)
    assert refusal(replace(wish, tags={"approved_by": "approver"}), APPROVERS)


@pytest.mark.parametrize("change", ["delete_version", "delete_model"])
def test_what_serves_or_may_serve_again_is_not_deleted(change):
    wish = Wish(user="admin", change=change, model="m", version="2")
    assert refusal(wish, APPROVERS) == ""
    assert refusal(replace(wish, aliases=frozenset({"challenger"})), APPROVERS) == ""
    for alias in GUARDED_ALIASES:
        assert alias in refusal(replace(wish, aliases=frozenset({alias})), APPROVERS)


@pytest.mark.parametrize("meaning", ["", "  ", None])
def test_an_approval_without_a_meaning_is_refused_where_policy_wants_one(meaning):
    tags = {"author": "trainer"} | ({} if meaning is None else {"approval.meaning": meaning})
    wish = replace(APPROVAL, tags=tags)
    assert "approval.meaning" in refusal(wish, APPROVERS, needs_meaning=True)
    assert refusal(wish, APPROVERS) == ""


def test_an_approval_that_says_what_it_means_passes():
    meant = replace(APPROVAL, tags={"author": "trainer", "approval.meaning": "for clinical evaluation"})
    assert refusal(meant, APPROVERS, needs_meaning=True) == ""


def test_the_controller_needs_no_meaning_to_put_champion_back():
    assert refusal(replace(APPROVAL, user="controller"), APPROVERS, needs_meaning=True) == ""
