// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/costs.h"

#include <netinet/in.h>

#include <chrono>

#include <fmt/format.h>

#include "core/maglev.h"
#include "kernel/flow_reader.h"

#include "bench/cases.h"
#include "bench/lab_costs.h"
#include "bench/leaving.h"
#include "bench/node.h"
#include "bench/wrapped.h"

namespace anycast::bench {

Result<Cost> timed(const std::string &name, const std::string &about, std::size_t times,
		   const Work &work)
{
	std::vector<double> ms;

	for (std::size_t i = 0; i < times; ++i) {
		const auto start = std::chrono::steady_clock::now();
		AX_TRY(work());
		ms.push_back(std::chrono::duration<double, std::milli>(
				     std::chrono::steady_clock::now() - start)
				     .count());
	}
	return Cost{name, about, summarise(ms), "ms"};
}

namespace {

// 4096 VIPs on 64 pools of 64 backends.
Config large_config()
{
	constexpr std::uint32_t kPools = 64, kBackends = 64, kVips = 4096;
	Config config = node_config({});

	config.pools.clear();
	config.vips.clear();
	config.limits.pools = kPools;
	config.limits.backends = kPools * kBackends;
	config.limits.vips = kVips;
	config.limits.table_slots = kPools * 65537;
	for (std::uint32_t p = 0; p < kPools; ++p) {
		Pool pool{.name = fmt::format("pool{}", p), .backends = {}};
		for (std::uint32_t b = 0; b < kBackends; ++b) {
			const Address address = Address::v4(0x0a010000 + p * kBackends + b);
			pool.backends.push_back({.name = address.text(), .address = address});
		}
		config.pools.push_back(std::move(pool));
	}
	for (std::uint32_t v = 0; v < kVips; ++v)
		config.vips.push_back({.name = fmt::format("vip{}", v),
				       .address = Address::v4(0xc6336400 + v),
				       .port = 80,
				       .protocol = IPPROTO_TCP,
				       .pool = fmt::format("pool{}", v % kPools)});
	return config;
}

Result<Program> load_for(const Config &config)
{
	LoadOptions options;

	options.limits = config.limits;
	auto program = Program::load(options);
	if (!program)
		return program;
	ax_ctl control{};
	control.abi = AX_ABI_VERSION;
	AX_TRY(program->dataplane().write_control(control));
	return program;
}

Status applying(const Config &config, const std::string &size, std::size_t times,
		std::vector<Cost> &costs)
{
	auto program = load_for(config);
	if (!program)
		return tl::unexpected(program.error());
	auto image = compile(config, NodeFacts{}, Ids{});
	if (!image)
		return tl::unexpected(image.error());
	const auto add = [&](const std::string &name, const Work &work) -> Status {
		auto cost = timed(name, size, times, work);
		if (!cost)
			return tl::unexpected(cost.error());
		costs.push_back(std::move(*cost));
		return {};
	};

	AX_TRY(add("compile", [&]() -> Status {
		auto again = compile(config, NodeFacts{}, Ids{});
		if (!again)
			return tl::unexpected(again.error());
		return {};
	}));
	AX_TRY(add("apply to the maps", [&]() -> Status {
		auto generation = program->dataplane().apply(*image);
		if (!generation)
			return tl::unexpected(generation.error());
		return {};
	}));
	return add("find it unchanged", [&]() -> Status {
		const auto holds = program->dataplane().holds(*image);
		if (!holds)
			return tl::unexpected(holds.error());
		return *holds ? Status{} : fail(Exit::kFailed, "what was applied is not there");
	});
}

Result<Cost> table(std::uint32_t size, std::size_t generations, std::size_t times)
{
	constexpr std::size_t kBackends = 1000;
	std::vector<std::string> names;
	std::vector<MaglevBackend> backends;

	for (std::size_t i = 0; i < kBackends; ++i)
		names.push_back(fmt::format("backend-{}", i));
	for (const std::string &name : names)
		backends.push_back({name, 100, true});
	std::vector<MaglevGeneration> earlier(generations);
	for (std::uint32_t g = 0; g < generations; ++g)
		for (std::size_t i = 0; i < kBackends; ++i)
			earlier[g].emplace_back(names[i],
						static_cast<std::uint32_t>(100 + (i + g) % 7));
	return timed("build a table",
		     fmt::format("{} slots, {} backends, {} generations before", size, kBackends,
				 generations),
		     times, [&]() -> Status {
			     auto slots = build_table(backends, size, {1, 2}, earlier);
			     if (!slots)
				     return tl::unexpected(slots.error());
			     return {};
		     });
}

Status scanning(std::size_t times, std::vector<Cost> &costs)
{
	Case million;
	for (Case &c : all_cases())
		if (c.name == "tcp4-1m")
			million = std::move(c);
	auto program = load_node(million.node);
	if (!program)
		return tl::unexpected(program.error());
	auto wrapped = Wrapped::around(program->fd(), million.traffic);
	if (!wrapped)
		return tl::unexpected(wrapped.error());
	if (auto ran = wrapped->run(million.traffic.flows); !ran)
		return tl::unexpected(ran.error());
	std::size_t found = 0;
	std::vector<FlowRecord> records;
	auto scan = timed("scan the flow table", "1M flows, decoded", times, [&]() -> Status {
		auto flows = read_flows(program->dataplane());
		if (!flows)
			return tl::unexpected(flows.error());
		records = std::move(*flows);
		found = records.size();
		return {};
	});
	if (!scan)
		return tl::unexpected(scan.error());
	if (found < million.traffic.flows / 10 * 9)
		return fail(Exit::kFailed, fmt::format("the scan found {} flows of {}", found,
						       million.traffic.flows));
	costs.push_back(std::move(*scan));
	LossSum sum;
	auto loss = timed("work out their loss", "1M flows, summed", times, [&]() -> Status {
		for (const FlowRecord &record : records)
			sum.add(loss_report(record));
		return {};
	});
	if (!loss)
		return tl::unexpected(loss.error());
	if (sum.flows != times * records.size())
		return fail(Exit::kFailed, "the sum of their loss lacks flows");
	costs.push_back(std::move(*loss));
	auto load = timed("count used entries", "1M flows", times, [&]() -> Status {
		const auto used = table_load(program->dataplane());
		if (!used)
			return tl::unexpected(used.error());
		return {};
	});
	if (!load)
		return tl::unexpected(load.error());
	costs.push_back(std::move(*load));
	return {};
}

} // namespace

Result<std::vector<Cost>> user_space_costs(bool quick)
{
	const std::size_t times = quick ? 3 : 7;
	std::vector<Cost> costs;

	auto load =
		timed("load the program", "default limits, as attach does", times, []() -> Status {
			auto program = Program::load({});
			if (!program)
				return tl::unexpected(program.error());
			return {};
		});
	if (!load)
		return tl::unexpected(load.error());
	costs.push_back(std::move(*load));
	AX_TRY(applying(node_config({}), "5 VIPs, 6 backends, 2 pools", times, costs));
	AX_TRY(applying(large_config(), "4096 VIPs, 4096 backends, 64 pools", quick ? 1 : 3,
			costs));
	for (const std::uint32_t size : {65537U, 655373U}) {
		for (const std::size_t generations : {0U, 2U}) {
			auto cost = table(size, generations, quick ? 1 : 3);
			if (!cost)
				return tl::unexpected(cost.error());
			costs.push_back(std::move(*cost));
		}
	}
	AX_TRY(scanning(times, costs));
	AX_TRY(leaving_costs(times, costs));
	AX_TRY(lab_costs(quick, costs));
	return costs;
}

} // namespace anycast::bench
