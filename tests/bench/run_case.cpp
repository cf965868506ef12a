// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One case: loads the contenders, brings their tables into the state the case is about, lets them
// run against each other, and looks afterwards whether they did what they were meant to.
#include <list>

#include <fmt/format.h>
#include <linux/bpf.h>

#include "bench/cases.h"
#include "bench/katran.h"
#include "bench/lru_flow.h"

namespace anycast::bench {

namespace {

// With its guard on, Katran remembers this many of a second's new flows and forgets the others: few
// enough that what is measured is the guard.
constexpr std::uint32_t kFloodGuard = 1000;

std::uint32_t verdict_of(int reason)
{
	if (reason < 32)
		return XDP_PASS;
	return reason < 48 ? XDP_TX : XDP_DROP;
}

Status run_through(Wrapped &wrapped, std::uint64_t packets)
{
	constexpr std::uint32_t kAtOnce = 1 << 18;

	for (; packets > 0; packets -= std::min<std::uint64_t>(packets, kAtOnce)) {
		const auto ran = wrapped.run(
			static_cast<std::uint32_t>(std::min<std::uint64_t>(packets, kAtOnce)));
		if (!ran)
			return tl::unexpected(ran.error());
	}
	return {};
}

// Flow tables as the case wants them before the first round.
Status prepare(const Case &c, Wrapped &wrapped)
{
	wrapped.visit(kMadeOrder);
	if (c.traffic.rotation == BENCH_SEQUENCE)
		return run_through(wrapped, 2);
	if (c.flows == Flows::kKnown) {
		AX_TRY(run_through(wrapped, c.traffic.flows));
		wrapped.visit(c.in_order ? kMadeOrder : kVisitOrder);
	} else if (c.flows == Flows::kFull) {
		AX_TRY(run_through(wrapped, 5ULL * std::max(c.node.flows4, c.node.flows6)));
	}
	return {};
}

struct Before {
	std::uint64_t meant, inserted, evicted;
};

Before look(const Dataplane &dataplane, int reason)
{
	return {count_of(dataplane, reason), note_of(dataplane, AX_R_FLOW_INSERTED),
		note_of(dataplane, AX_R_FLOW_EVICTED)};
}

Status check(const Case &c, const Dataplane &dataplane, const Before &before,
	     const std::string &who, std::uint32_t rounds)
{
	const Before now = look(dataplane, c.reason);
	const auto packets = static_cast<double>(rounds) * (c.rounds.repeat + c.rounds.warm);
	const double meant = static_cast<double>(now.meant - before.meant) / packets;
	const double inserted = static_cast<double>(now.inserted - before.inserted) / packets;
	const double evicted = static_cast<double>(now.evicted - before.evicted) / packets;
	bool right = meant > 0.999;

	switch (c.flows) {
	case Flows::kStateless:
	case Flows::kForgotten:
		right &= inserted == 0;
		break;
	case Flows::kKnown:
		right &= inserted < 0.1;
		break;
	case Flows::kFilling:
		right &= inserted > 0.99 && evicted < 0.2;
		break;
	case Flows::kFull:
		right &= inserted > 0.99 && evicted > 0.99;
		break;
	}
	if (right)
		return {};
	return fail(Exit::kFailed,
		    fmt::format("{}, {}: {:.1f} % of the packets met the case's reason, {:.1f} % "
				"were inserted, {:.1f} % replaced another",
				c.name, who, meant * 100, inserted * 100, evicted * 100),
		    "what was measured is not what the case is about");
}

// A table that fills is never more than half full, as the documentation sizes it: then it is
// emptied.
Status make_room(const Case &c, Dataplane &dataplane, std::uint64_t &used)
{
	const std::uint64_t next = c.rounds.repeat + c.rounds.warm;
	const bool v6 = c.traffic.rotation == BENCH_FLOWS6;

	used += next;
	if (used <= (v6 ? c.node.flows6 : c.node.flows4))
		return {};
	used = next;
	return forget_flows(dataplane);
}

Result<Contender> contender(const Case &c, const std::string &name, int program)
{
	auto wrapped = Wrapped::around(program, c.traffic);
	if (!wrapped)
		return tl::unexpected(wrapped.error());
	AX_TRY(prepare(c, *wrapped));
	return Contender{name, std::move(*wrapped), verdict_of(c.reason)};
}

Status add_ours(const Case &c, const std::string &name, const NodeOptions &options,
		std::list<Program> &programs, std::vector<Contender> &contenders)
{
	auto program = load_node(options);
	if (!program)
		return tl::unexpected(program.error());
	auto next = contender(c, name, program->fd());
	if (!next)
		return tl::unexpected(next.error());
	programs.push_back(std::move(*program));
	const Dataplane &dataplane = programs.back().dataplane();
	const Before before = look(dataplane, c.reason);
	next->check = [&c, &dataplane, before, name](std::uint32_t rounds) {
		return check(c, dataplane, before, name, rounds);
	};
	if (c.flows == Flows::kFilling)
		next->ready = [&c, &node = programs.back(), used = std::uint64_t{0}]() mutable {
			return make_room(c, node.dataplane(), used);
		};
	contenders.push_back(std::move(*next));
	return {};
}

// Loads all contenders and lets them run. `kept`: what earlier loads leave in memory, so that the
// next is not put into the same places.
Result<Contest> load_and_contest(const Case &c, int extra_program, std::vector<Wrapped> &kept)
{
	const bool sends = verdict_of(c.reason) == XDP_TX;
	std::vector<Contender> contenders;
	std::list<Program> programs;
	std::optional<KatranProxy> proxy;
	std::optional<KernelLru> lru;

	auto floor = Wrapped::floor(sends ? Wrapped::Floor::kTx : Wrapped::Floor::kPass, c.traffic);
	if (!floor)
		return tl::unexpected(floor.error());
	contenders.push_back(
		{kFloor, std::move(*floor), static_cast<std::uint32_t>(sends ? XDP_TX : XDP_PASS)});
	if (c.proxy) {
		auto loaded = KatranProxy::load(
			c.node, c.flows == Flows::kForgotten ? kFloodGuard : 0, c.lru_entries);
		if (!loaded)
			return tl::unexpected(loaded.error());
		proxy = std::move(*loaded);
		auto next = contender(c, kProxy, proxy->fd());
		if (!next)
			return tl::unexpected(next.error());
		contenders.push_back(std::move(*next));
	}
	AX_TRY(add_ours(c, kOurs, c.node, programs, contenders));
	if (c.kernel_lru != 0) {
		auto loaded = KernelLru::load(c.kernel_lru);
		if (!loaded)
			return tl::unexpected(loaded.error());
		lru = std::move(*loaded);
		auto next = contender(c, kKernelLru, lru->fd());
		if (!next)
			return tl::unexpected(next.error());
		contenders.push_back(std::move(*next));
	}
	for (const Variant &variant : c.variants)
		AX_TRY(add_ours(c, variant.name, variant.node, programs, contenders));
	if (extra_program >= 0) {
		auto next = contender(c, "--prog-id", extra_program);
		if (!next)
			return tl::unexpected(next.error());
		next->verdict.reset();
		contenders.push_back(std::move(*next));
	}
	auto contest = bench::contest(contenders, c.rounds);
	kept.push_back(std::move(contenders[0].wrapped));
	return contest;
}

} // namespace

Result<Outcome> run_case(const Case &what, int extra_program, bool quick)
{
	Case c = what;
	Contest all;
	std::vector<Wrapped> kept;

	if (quick)
		c.rounds = {10, c.rounds.repeat, c.rounds.warm};
	for (std::uint32_t load = 0; load < c.rounds.loads; ++load) {
		auto contest = load_and_contest(c, extra_program, kept);
		if (!contest)
			return tl::unexpected(contest.error());
		if (c.rounds.loads == 1)
			all = std::move(*contest);
		else
			add_load(*contest, all);
	}
	return Outcome{c.name,
		       c.about,
		       c.required,
		       verdict_of(c.reason) == XDP_TX,
		       std::move(all.series),
		       c.variants,
		       all.rounds};
}

} // namespace anycast::bench
