"""Mutants: mistakes that somebody could make, each a patch of the production code's text (mutant.py)."""

from __future__ import annotations

from binome.core.acceptance import Accepted
from binome.core.quorum import Tally, groups
from binome.core.silence import Watchers
from binome.core.state import State
from binome.core.takeover import _asked_answer, _Question
from binome.core.takeover_facts import TakeoverSlice
from binome.core.verdict import Judge
from binome.drivers.database.patroni import cluster
from binome.drivers.database.patroni.database import PatroniDatabase
from binome.journal.campaign import Campaign
from binome.journal.ordered import OrderedJournal
from binome.journal.view import EtcdView
from binome.runtime.accepted import AcceptedFile
from binome.runtime.loop import Loop
from binome.runtime.watch import Watch
from binome.sim.shape import LOOKING, TAKEOVER
from tests.sim.mutant import Mutant, applied
from tests.sim.mutants_of_asking import ASKED_MUTANTS, FENCING_MUTANTS

__all__ = ["MUTANTS", "RARE", "Mutant", "applied"]

RARE = [
    Mutant(
        "taking the lead on conditions of a later moment",
        Campaign._take_lead,
        "        lease = await self._etcd.grant(LEASE_S)\n",
        "        lease = await self._etcd.grant(LEASE_S)\n"
        '        compares[1] = Compare(f"{view.root}generation", "mod_revision", view.newest_revision)\n'
        '        compares[2] = Compare(f"{view.root}head", "mod_revision", view.head_revision)\n',
        0,
    ),
    Mutant(
        "a roll call that an empty mirror ends",
        Campaign._roll_call,
        "have_answered(answers, len(self._members))",
        "is_majority(len(answers), len(self._members))",
        0,
    ),
    Mutant(
        "act_after ignored",
        _Question._on_primary,
        "if loss.lasted_ms < self.service.act_after_ms:",
        "if False:",
        0,
    ),
    Mutant(
        "a code of another loss accepted",
        _asked_answer,
        "if asked.code and asked.code != ",
        "if False and asked.code != ",
        0,
    ),
    Mutant(
        "what an agent accepted is not durable",
        AcceptedFile._keep,
        "write_whole(self._path, msgspec.json.encode(after))",
        "pass",
        0,
    ),
    Mutant(
        "a takeover's transaction without our leadership",
        OrderedJournal._put,
        "self._campaign.still_ours(reign),",
        "",
        0,
    ),
    Mutant(
        "the sync key's revision is not compared",
        cluster.takeover,
        'cluster.unchanged("leader", "sync")',
        'cluster.unchanged("leader")',
        0,
    ),
    Mutant(
        "a survivor that is not in sync is promoted",
        cluster.takeover,
        "if not cluster.is_synchronous(survivor):",
        "if False:",
        0,
    ),
]
"""Too rare for nights that chance makes: a night that is written down shows each."""
JOURNAL = [
    Mutant(
        "append without comparing the leader",
        OrderedJournal._put,
        "self._campaign.still_ours(reign),",
        "",
        150,
    ),
    Mutant(
        "append without comparing leader and head",
        OrderedJournal._put,
        "self._etcd.transact(compares, actions)",
        "self._etcd.transact((), actions)",
        150,
    ),
    Mutant(
        "acknowledge before durable",
        OrderedJournal._append_few,
        "await self._put(reign, self._sealed(fresh.values(), reign), answered)",
        "asyncio.ensure_future(self._put(reign, self._sealed(fresh.values(), reign), answered))",
        5,
    ),
    Mutant(
        "a person's request acknowledged without an answer",
        OrderedJournal.submit,
        "raise AppendUnknownError(str(error)) from None",
        "return",
        40,
    ),
    Mutant(
        "mirrored before agreed",
        OrderedJournal._put,
        "        if entries:\n            actions.append(Put(batch",
        "        if entries:\n            self._came(entries)\n            actions.append(Put(batch",
        5,
    ),
    Mutant(
        "an old generation accepted",
        Accepted.with_command,
        "if command.generation < self.generation:",
        "if False:",
        200,
    ),
    Mutant(
        "an overtaken step accepted",
        Accepted.with_command,
        "if position < self.positions.get(command.plan, position):",
        "if False:",
        120,
    ),
    Mutant(
        "a step executed before its plan is durable",
        Loop.turn,
        "        if not drafts:",
        "        for made in (draft.fact for draft in decision.record if type(draft.fact).__name__ == 'PlanMade'):\n"
        "            first = Command(f'{made.plan}/0', made.plan, 0, False, made.steps[0].verb, '', made.subject, {},\n"
        "                            generation)\n"
        "            asyncio.ensure_future(self._driven(first))\n"
        "        if not drafts:",
        10,
    ),
    Mutant(
        "a lost reply of an agent taken for success",
        Loop._driven,
        'return Outcome("unknown", f"{type(error).__name__}: {error}")',
        'return Outcome("done")',
        20,
    ),
    Mutant(
        "a lost reply of etcd taken for success",
        OrderedJournal._put,
        "            self._in_doubt = True\n            raise AppendUnknownError(str(error)) from None",
        "            return",
        40,
    ),
    Mutant(
        "a plan not resumed after a crash",
        Loop.run,
        "            while True:",
        "            await self._fold()\n"
        "            self.state.ready.clear(), self.state.waiting.clear()\n"
        "            while True:",
        40,
    ),
    Mutant(
        "the lease believed after a pause",
        Campaign._believed,
        "return self._clock.monotonic_s() < reign.believed_until_s",
        "return True",
        120,
    ),
    Mutant(
        "a watch that skips a revision",
        EtcdView.follow,
        "revision + 1",
        "revision + 2",
        100,
    ),
    Mutant(
        "the generation not raised",
        Campaign._take_lead,
        "generation = 1 + max(",
        "generation = max(1, ",
        20,
    ),
    Mutant(
        "an id not looked for",
        OrderedJournal._append_few,
        "if not self._store.has(draft.id)",
        "if True",
        40,
    ),
    Mutant(
        "requests removed that were not recorded",
        OrderedJournal._append_few,
        "answered = [draft.id for draft in drafts if draft.id in self._view.requests]",
        "answered = list(self._view.requests)",
        20,
    ),
    Mutant(
        "an etcd that was rebuilt counts generations anew",
        Campaign._take_lead,
        "view.newest, head.generation, *(mark.generation for mark in view.marks.values()), 0",
        "view.newest, 0",
        40,
    ),
    Mutant(
        "a mirror that begins anew has a vote",
        Campaign._take_lead,
        "not may_lead(head, view.head, answers, len(self._members))",
        "not is_majority(len(answers), len(self._members)) or "
        "head.sequence < max(mark.sequence for mark in answers.values())",
        60,
    ),
    Mutant(
        "what etcd has no more is not asked for",
        OrderedJournal._ask_for_more,
        "await self._etcd.transact((), [refill.question(self._root, self.name, self._store.head().sequence)])",
        "pass",
        120,
    ),
    # Mistakes that were there, until the simulation showed them.
    Mutant(
        "begun after the belief has ended",
        Loop._carry_out,
        "if self.journal.generation != command.generation:",
        "if False:",
        250,
    ),
    Mutant(
        "the generation announced only once",
        Campaign.round,
        "            await self._announce(reign)\n",
        "",
        120,
    ),
    Mutant(
        "begun in a generation that no majority knows",
        vars(Campaign)["generation"].fget,
        "return reign.generation if is_majority(knowing, len(self._members)) else None",
        "return reign.generation",
        60,
    ),
    Mutant(
        "a generation believed that is another's",
        vars(Campaign)["generation"].fget,
        "not reign.announced or ",
        "",
        120,
    ),
]

LOOKING_MUTANTS = [
    Mutant(
        "a lone vantage point believed",
        Tally._combined,
        "            if len(since) >= self.majority:\n"
        "                return self._decided(verdict, sorted(since)[self.majority - 1], words)",
        "            if since:\n                return self._decided(verdict, since[0], words)",
        5,
        LOOKING,
    ),
    Mutant(
        "a majority of the healthy instead of all configured",
        Tally._combined,
        "            if len(since) >= self.majority:\n"
        "                return self._decided(verdict, sorted(since)[self.majority - 1], words)",
        "            heard = sum(any(number in words for number in group) for group in self._group_numbers)\n"
        "            if len(since) * 2 > heard:\n"
        "                return self._decided(verdict, since[0], words)",
        5,
        LOOKING,
    ),
    Mutant(
        "two vantage points of one place counted twice",
        Tally._combined,
        "votes.setdefault(said.pop(), []).append(since_ms)",
        "votes.setdefault(said.pop(), []).extend([since_ms] * sum(number in words for number in group))",
        20,
        LOOKING,
    ),
    Mutant(
        "two vantage points on one power feed are two places",
        groups,
        "if places[one] & places[other] and group_of[one] is not group_of[other]:",
        "if False:",
        40,
        LOOKING,
    ),
    Mutant(
        "the last word of a silent lookout counts",
        Tally._combined,
        "            and (not self.silent or self.vantages[number] not in self.silent)\n",
        "",
        20,
        LOOKING,
    ),
    Mutant(
        "down after a restart without a look",
        Judge.__init__,
        "Judged(Verdict.UNSURE, now_ms)",
        "Judged(Verdict.DOWN, now_ms)",
        5,
        LOOKING,
    ),
    Mutant(
        "down after one look",
        Judge._verdict,
        "enough = self._pace.rise if self._up else self._pace.fall",
        "enough = 1",
        5,
        LOOKING,
    ),
    Mutant(
        "resolution suppressed with the cause",
        State._looked,
        "                self.scope.seen(target, agreed.verdict, at_ms)",
        "                if target not in self.scope.of_target:\n"
        "                    self.scope.seen(target, agreed.verdict, at_ms)",
        20,
        LOOKING,
    ),
    Mutant(
        "lengths of time by a wall clock that goes back",
        Judge.observe,
        "        at_s = observation.at_s\n",
        "        at_s = at_ms / 1000\n",
        40,
        LOOKING,
    ),
    Mutant(
        "changes taken for a whole list",
        Watch.told,
        "self.tally.hear(peer, verdicts, whole=whole)",
        "self.tally.hear(peer, verdicts, whole=True)",
        5,
        LOOKING,
    ),
    Mutant(
        "changes told to nobody",
        Watch._judged,
        "hearing.publish(changes)",
        "pass",
        10,
        LOOKING,
    ),
]
TAKEOVER_MUTANTS = [
    Mutant(
        "a silence longer than it is",
        Watchers.missed,
        "Missed(min(missing.values()), tuple(sorted(missing)))",
        "Missed(max(self.lengths), tuple(sorted(missing)))",
        20,
        TAKEOVER,
    ),
    Mutant(
        "one place misses a site, and it is silent",
        Watchers.missed,
        "if name in missing and len(votes) >= self.majority:",
        "if name in missing:",
        20,
        TAKEOVER,
    ),
    Mutant(
        "the cooldown ignored",
        _Question.objection,
        "self.now_ms < took_over_ms + self.service.cooldown_ms",
        "False",
        20,
        TAKEOVER,
    ),
    Mutant(
        "a takeover not remembered",
        TakeoverSlice._database_moved,
        "                self.took_over_ms[fact.service] = at_ms",
        "                pass",
        20,
        TAKEOVER,
    ),
    Mutant(
        "a takeover without its fact",
        OrderedJournal.commit,
        "return await self._put(reign, entries, (), conditions, actions)",
        "return await self._put(reign, [], (), conditions, actions)",
        20,
        TAKEOVER,
    ),
    Mutant(
        "a survivor not waited for",
        PatroniDatabase._until_primary,
        'return await self._until(promoted, f"{member} does not say yet that it is primary")',
        'return Outcome("done")',
        20,
        TAKEOVER,
    ),
    Mutant(
        "a plan of a takeover not resumed",
        Loop.run,
        "            while True:",
        "            await self._fold()\n"
        "            self.state.ready.clear(), self.state.waiting.clear()\n"
        "            while True:",
        20,
        TAKEOVER,
    ),
]
MUTANTS = JOURNAL + LOOKING_MUTANTS + TAKEOVER_MUTANTS + ASKED_MUTANTS + FENCING_MUTANTS
