// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/verdict.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "render/table.h"

namespace anycast::render {

namespace {

constexpr std::uint64_t kEnough = 100; // segments
constexpr std::uint64_t kFew = 5;      // losses: no rate follows from less
constexpr double kMost = 0.9;	       // of what was lost, in one network

struct Sum {
	std::uint64_t lost = 0, of = 0;
	bool at_most = false; // some part is an upper bound
	void add(const LossFigure &figure)
	{
		if (!figure.value)
			return;
		lost += *figure.value;
		of += figure.of;
		at_most |= figure.kind == "upper_bound" && *figure.value != 0;
	}
	[[nodiscard]] std::string text() const
	{
		if (lost == 0)
			return "0";
		const std::string share =
			lost < kFew
				? fmt::format("{} of {}", lost, of)
				: percent_text(static_cast<double>(lost) / static_cast<double>(of));
		return (at_most ? "at most " : "") + share;
	}
};

// Of a client network, or of all.
struct Evidence {
	Sum before, beyond, back, back_told;
	std::uint64_t unrepaired = 0;
	std::uint64_t packets = 0, measured_packets = 0;

	void add(const FlowRecord &flow)
	{
		const LossReport report = loss_report(flow);
		const LossFigure &lost = lost_before_node(report);
		before.add(lost);
		beyond.add(report.c2s_down_lost);
		back.add(report.s2c_lost);
		back_told.add(report.s2c_lost_sack);
		unrepaired += lost.value ? lost.unrepaired : 0;
		packets += flow.packets;
		measured_packets += lost.value ? flow.packets : 0;
	}
	// What the server sends, beyond this node.
	[[nodiscard]] const Sum &way_back() const { return back.of >= kEnough ? back : back_told; }
	[[nodiscard]] std::uint64_t lost() const
	{
		return before.lost + beyond.lost + way_back().lost;
	}
};

// Flows that can have a figure of what was lost before this node.
bool is_evidence(const FlowRecord &flow)
{
	return loss_unknown_because(flow) != "protocol" && flow.measure != AX_MEASURE_DNS;
}

Prefix network_of(const NamedFlow &flow)
{
	const std::uint8_t usual = flow.flow->family == 4 ? 24 : 48;
	return prefix_of(flow.flow->source, flow.client_bits != 0 ? flow.client_bits : usual);
}

std::string_view what_is_missing(const Evidence &evidence)
{
	if (evidence.measured_packets * 2 < evidence.packets)
		return "mostly_unmeasured";
	if (evidence.before.of < kEnough && evidence.way_back().of < kEnough)
		return "too_few_segments";
	if (evidence.unrepaired > evidence.before.lost &&
	    evidence.unrepaired * 100 > evidence.before.of)
		return "other_way";
	return "";
}

// Known if it was seen of half of the segments at least.
std::string beyond_text(const Evidence &evidence)
{
	const Sum &beyond = evidence.beyond;
	return beyond.of >= kEnough && beyond.of * 2 >= evidence.before.of ? beyond.text()
									   : "unknown";
}

std::string text_of(const Evidence &evidence, const std::string &who)
{
	const Sum &back = evidence.way_back();

	if (evidence.before.of < kEnough) // clients that only acknowledge
		return fmt::format("{} lost on the way back to {}", back.text(), who);
	return fmt::format(
		"{} lost between {} and this node, {} beyond{}", evidence.before.text(), who,
		beyond_text(evidence),
		back.of < kEnough ? ""
				  : fmt::format("; {} on the way back to the client", back.text()));
}

} // namespace

LossVerdict loss_verdict(const std::vector<NamedFlow> &flows)
{
	std::map<Prefix, Evidence> networks;
	Evidence all;
	for (const NamedFlow &flow : flows) {
		if (!is_evidence(*flow.flow))
			continue;
		if (flow.merged)
			return {"", "generic_mode"};
		networks[network_of(flow)].add(*flow.flow);
		all.add(*flow.flow);
	}
	if (networks.empty())
		return {"", "no_flows"};
	const auto worst = std::max_element(
		networks.begin(), networks.end(),
		[](const auto &a, const auto &b) { return a.second.lost() < b.second.lost(); });
	std::string who = "clients";
	const Evidence *evidence = &all;
	if (networks.size() == 1 ||
	    (worst->second.lost() > 0 && static_cast<double>(worst->second.lost()) >=
						 kMost * static_cast<double>(all.lost()))) {
		who = worst->first.text();
		evidence = &worst->second;
	}
	if (const std::string_view missing = what_is_missing(*evidence); !missing.empty())
		return {"", missing};
	return {text_of(*evidence, who), ""};
}

std::string verdict_line(const LossVerdict &verdict)
{
	static const std::map<std::string_view, const char *> kWhy = {
		{"generic_mode", "generic mode sees merged segments"},
		{"mostly_unmeasured", "more than half of the packets are of flows without figures"},
		{"too_few_segments", "fewer than 100 segments were measured"},
		{"other_way", "more gaps stayed open than were lost: packets take another way"},
	};
	const auto why = kWhy.find(verdict.why_not);
	if (!verdict.text.empty())
		return verdict.text + "\n";
	return why == kWhy.end() ? "" : fmt::format("no verdict: {}\n", why->second);
}

} // namespace anycast::render
