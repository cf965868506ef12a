// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// make bench: what a packet costs, beside a floor and a stand-in for Katran; and what user space
// takes. docs/performance.md says what the figures mean.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <bpf/bpf.h>
#include <fmt/format.h>

#include "util/fd.h"

#include "bench/cases.h"
#include "bench/costs.h"
#include "bench/leaving.h"
#include "bench/machine.h"
#include "bench/memory.h"
#include "bench/report.h"

namespace anycast::bench {

namespace {

struct Options {
	std::string only, json, against, docs;
	std::vector<std::string> objects;
	std::uint32_t program = 0;
	bool quick = false, list = false, no_costs = false, no_live = false;
};

Result<nlohmann::json> earlier_run(const std::string &path)
{
	std::ifstream file(path);
	auto json = nlohmann::json::parse(file, nullptr, false);

	if (json.is_discarded() || !json.is_object())
		return fail(Exit::kUsage, path + " is not what an earlier --json wrote");
	return json;
}

Status write_json(const Report &report, const std::string &path)
{
	std::ofstream file(path);

	file << json_of(report).dump(2) << std::endl;
	return file ? Status{} : fail(Exit::kFailed, "write " + path);
}

// The bytes of other builds' objects, as long as they are measured.
Result<std::vector<std::string>> builds_of(const std::vector<std::string> &objects)
{
	std::vector<std::string> builds;

	for (const std::string &object : objects) {
		std::ifstream file(object, std::ios::binary);
		builds.emplace_back(std::istreambuf_iterator<char>(file),
				    std::istreambuf_iterator<char>());
		if (builds.back().empty())
			return fail(Exit::kUsage, object + " cannot be read");
	}
	return builds;
}

Result<Fd> other_program(std::uint32_t id)
{
	Fd program(id ? bpf_prog_get_fd_by_id(id) : -1);

	if (id && !program.valid())
		return fail_errno(fmt::format("open program {}", id), errno,
				  "`bpftool prog` lists ids");
	return program;
}

Status run(const Options &options)
{
	Report report;
	std::optional<nlohmann::json> earlier;

	AX_TRY(may_measure());
	if (!options.against.empty()) {
		auto read = earlier_run(options.against);
		if (!read)
			return tl::unexpected(read.error());
		earlier = std::move(*read);
	}
	const auto builds = builds_of(options.objects);
	if (!builds)
		return tl::unexpected(builds.error());
	const auto other = other_program(options.program);
	if (!other)
		return tl::unexpected(other.error());
	AX_TRY(stay_on_one_cpu());
	report.machine = this_machine();

	if (!options.no_live) {
		auto live = live_runs(options.quick, report.no_live);
		if (!live)
			return tl::unexpected(live.error());
		report.live = std::move(*live);
	} else {
		report.no_live = "--no-live";
	}
	if (!options.no_costs) {
		auto costs = user_space_costs(options.quick);
		if (!costs)
			return tl::unexpected(costs.error());
		report.costs = std::move(*costs);
	}
	Memory memory;
	const auto add = [&](const Outcome &outcome) {
		report.rows.push_back(row_of(outcome));
		std::cout << text_of(report.rows.back()) << std::flush;
		memory.measure();
	};
	const std::regex only(options.only);
	memory.measure();
	for (Case &c : all_cases()) {
		if (!std::regex_search(c.name, only))
			continue;
		for (std::size_t i = 0; i < builds->size(); i++) {
			const std::filesystem::path file(options.objects[i]);
			c.variants.push_back({file.filename(), c.node});
			c.variants.back().node.build = (*builds)[i];
		}
		const auto outcome = run_case(c, other->get(), options.quick);
		if (!outcome)
			return tl::unexpected(outcome.error());
		add(*outcome);
	}
	for (const LeavingCase &c : leaving_cases()) {
		if (!std::regex_search(c.name, only))
			continue;
		const auto outcome = run_leaving(c, options.quick);
		if (!outcome)
			return tl::unexpected(outcome.error());
		add(*outcome);
	}
	report.memory = memory.steps();
	std::cout << summary_of(report);
	if (earlier)
		std::cout << compared(report, *earlier);
	if (!options.json.empty())
		AX_TRY(write_json(report, options.json));
	if (!options.docs.empty())
		AX_TRY(write_docs(report, options.docs));
	if (const auto noisy = too_noisy(report); !noisy.empty())
		return fail(Exit::kFailed,
			    fmt::format("{} of {} cases were too noisy to conclude", noisy.size(),
					report.rows.size()),
			    "run it again on a quiet machine");
	return {};
}

} // namespace

} // namespace anycast::bench

int main(int argc, char **argv)
{
	using namespace anycast;
	bench::Options options;
	CLI::App app("Nanoseconds a packet, by BPF_PROG_TEST_RUN, all programs by turns.");

	app.add_option("--case", options.only, "Only cases whose name matches")->type_name("REGEX");
	app.add_option("--json", options.json, "Write everything there")->type_name("FILE");
	app.add_option("--against", options.against, "Compare with an earlier --json")
		->type_name("FILE");
	app.add_option("--docs", options.docs, "Write the tables into docs/performance.md")
		->type_name("FILE");
	app.add_option("--prog-id", options.program, "Measure this loaded XDP program as well")
		->type_name("N");
	app.add_option("--object", options.objects,
		       "Measure other builds of the program as well, from their BPF objects")
		->type_name("FILE...");
	app.add_flag("--quick", options.quick, "Fewer rounds: to see that it works");
	app.add_flag("--no-costs", options.no_costs, "Leave out the user-space costs");
	app.add_flag("--no-live", options.no_live, "Leave out the frames that are really sent");
	app.add_flag("--list", options.list, "Name the cases");
	CLI11_PARSE(app, argc, argv);
	if (options.list) {
		for (const bench::Case &c : bench::all_cases())
			fmt::print("{:<15} {}\n", c.name, c.about);
		for (const bench::LeavingCase &c : bench::leaving_cases())
			fmt::print("{:<15} {}\n", c.name, c.about);
		return 0;
	}
	const auto status = bench::run(options);
	if (status)
		return 0;
	std::cerr << "bench: " << status.error().message() << '\n';
	return static_cast<int>(status.error().kind);
}
