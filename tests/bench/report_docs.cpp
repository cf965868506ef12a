// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The part of docs/performance.md that a run writes: tables, and what they come to on paper.
#include <cmath>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "bench/report.h"

namespace anycast::bench {

namespace {

constexpr const char *kBegin = "<!-- written by build/bench --docs: begin -->\n";
constexpr const char *kEnd = "<!-- written by build/bench --docs: end -->\n";

std::string pair(const Summary *s)
{
	if (!s)
		return "";
	return s->noisy() ? "too noisy" : fmt::format("{:.0f} / {:.0f}", s->best, s->median);
}

std::string number(const std::optional<Summary> &s)
{
	return s && !s->noisy() ? fmt::format("{:.2f}", s->median) : "";
}

std::string cases_table(const Report &report)
{
	std::string text = "| case | floor | proxy | Katran (issue) | proxy ÷ Katran | ours | "
			   "quartiles | proxy ÷ ours "
			   "| needed | | without floor | at Katran's floor | | Katran (issue) ÷ "
			   "ours |\n"
			   "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";

	for (const Row &row : report.rows) {
		const Summary *ours = row.find(kOurs);
		const auto off = calibration(row), issue = against_katran(row);
		text += fmt::format(
			"| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
			row.about, pair(row.find(kFloor)), pair(row.find(kProxy)),
			row.required ? fmt::format("{:.0f} / {:.0f}", row.required->katran_best,
						   row.required->katran_median)
				     : "",
			off ? fmt::format("{:.2f}", *off) : "", pair(ours),
			ours && !ours->noisy()
				? fmt::format("{:.0f}–{:.0f}", ours->lower, ours->upper)
				: "",
			number(row.ratio),
			row.required ? fmt::format("{:.1f}", row.required->ratio) : "",
			name_of(row.verdict), number(row.bare), number(row.level),
			name_of(row.level_verdict), issue ? fmt::format("{:.2f}", *issue) : "");
	}
	return text;
}

std::string variants_table(const Report &report)
{
	std::string text = "| case | variant | best / median | ours, as it is | ours less the "
			   "variant, median [95 %] | at most | |\n|---|---|---|---|---|---|---|\n";

	for (const Row &row : report.rows)
		for (const Pair &variant : row.pairs)
			text += fmt::format(
				"| {} | {} | {} | {} | {:+.1f} [{:+.1f} to {:+.1f}] | {} | {} |\n",
				row.about, variant.name, pair(row.find(variant.name)),
				pair(row.find(kOurs)), variant.difference.median,
				variant.difference.low95, variant.difference.high95,
				variant.limit ? fmt::format("{:.0f}", *variant.limit) : "",
				name_of(verdict_of(variant)));
	return text;
}

std::string live_table(const Report &report)
{
	std::string text = "| what happens to the packets | Mpackets a second | CPU ns a packet, "
			   "median | quartiles |\n|---|---|---|---|\n";

	if (report.live.empty())
		return "Not run: " + report.no_live + "\n";
	for (const Live &live : report.live)
		text += fmt::format("| {} | {:.2f} | {:.0f} | {:.0f}–{:.0f} |\n", live.about,
				    live.mega_packets.median, live.ns.median, live.ns.lower,
				    live.ns.upper);
	return text;
}

std::string noise_of(const Report &report)
{
	const auto names = too_noisy(report);
	std::uint32_t tried = 0, left_out = 0;
	std::string text, kept;

	for (const std::string &name : names)
		text += (text.empty() ? "" : ", ") + name;
	for (const Row &row : report.rows) {
		tried += row.rounds.tried;
		if (row.rounds.left_out)
			left_out += row.rounds.disturbed;
		else if (2 * row.rounds.disturbed > row.rounds.tried)
			kept += (kept.empty() ? "" : ", ") + row.name;
	}
	const std::string rounds = fmt::format(
		"In {} of {} rounds others had the core; they are left out. {}", left_out, tried,
		kept.empty() ? ""
			     : fmt::format("Most rounds were disturbed, and are in: {}. ", kept));
	return rounds + (names.empty() ? "No case was too noisy to conclude.\n"
				       : fmt::format("**Too noisy to conclude**: {}.\n", text));
}

std::string memory_table(const Report &report)
{
	std::string text = "| memory | best | quartiles |\n|---|---|---|\n";

	for (const MemoryStep &step : report.memory)
		text += fmt::format("| {} KB | {:.0f} | {:.0f}–{:.0f} |\n", step.bytes / 1024,
				    step.ns.best, step.ns.lower, step.ns.upper);
	return text;
}

std::string costs_table(const Report &report)
{
	std::string text = "| what | with | best | median | |\n|---|---|---|---|---|\n";

	for (const Cost &cost : report.costs)
		text += fmt::format("| {} | {} | {:.1f} | {:.1f} | {} |\n", cost.name, cost.about,
				    cost.value.best, cost.value.median, cost.unit);
	return text;
}

const Summary *ours_in(const Report &report, const std::string &name)
{
	for (const Row &row : report.rows)
		if (row.name == name)
			return row.find(kOurs);
	return nullptr;
}

// Of the program alone: less what a test run costs that does nothing.
std::string scaling_table(const Report &report)
{
	constexpr double kLine = 100e9,
			 kOverhead = 20; // preamble, gap and start of an Ethernet frame
	const Summary *nothing = nullptr;
	std::string text = "| load | ns a packet | Mpps a core | cores at 100 Gbit/s, 700-byte "
			   "packets | 64-byte packets |\n|---|---|---|---|---|\n";

	for (const Row &row : report.rows)
		if (row.name == "arp")
			nothing = row.find(kFloor);
	if (!nothing)
		return "No scaling table: the cases it needs were not run.\n";
	const auto add = [&](const char *name, const char *about) {
		const Summary *ours = ours_in(report, name);
		if (!ours || ours->noisy())
			return;
		const double ns = ours->median - nothing->median;
		const auto cores = [&](double bytes) {
			return kLine / 8 / (bytes + kOverhead) * ns / 1e9;
		};
		text += fmt::format("| {} | {:.0f} | {:.1f} | {:.1f} | {:.1f} |\n", about, ns,
				    1e3 / ns, cores(700), cores(64));
	};
	add("tcp4-16k", "known flows, 16k a core");
	add("tcp4-131k", "known flows, 131k a core");
	add("tcp4-1m", "known flows, 1M a core (10M on 10 cores)");
	add("new-full", "every packet a new flow, table full");
	add("syn", "SYN flood");
	add("malformed", "malformed, dropped");
	add("not-vip", "not for a VIP");
	return text;
}

} // namespace

std::string markdown_of(const Report &report)
{
	return fmt::format(
		"Taken on: {}, {} CPUs, kernel {}, hardening of returns: {}; load average {:.1f} "
		"before the run. {}\n"
		"### Nanoseconds a packet, best / median, harness included\n\n{}\n"
		"### What parts cost\n\n{}\n"
		"### Memory: a load that waits for the one before, ns\n\n{}\n"
		"### Live: frames over a veth pair, threaded NAPI\n\n{}\n"
		"### User space\n\n{}\n"
		"### On paper: one core, program only\n\n{}\n",
		report.machine.cpu, report.machine.cpus, report.machine.kernel,
		report.machine.returns, report.machine.load, noise_of(report), cases_table(report),
		variants_table(report), memory_table(report), live_table(report),
		costs_table(report), scaling_table(report));
}

Status write_docs(const Report &report, const std::string &path)
{
	std::ifstream in(path);
	std::stringstream buffer;

	buffer << in.rdbuf();
	std::string text = buffer.str();
	const std::size_t begin = text.find(kBegin), end = text.find(kEnd);
	if (!in || begin == std::string::npos || end == std::string::npos || end < begin)
		return fail(Exit::kFailed, path + " has not the two markers between which to write",
			    std::string("they are the lines ") + kBegin + "and " + kEnd);
	const std::size_t from = begin + std::string(kBegin).size();
	text.replace(from, end - from, markdown_of(report));
	std::ofstream out(path, std::ios::trunc);
	out << text << std::flush;
	return out ? Status{} : fail(Exit::kFailed, "write " + path);
}

} // namespace anycast::bench
