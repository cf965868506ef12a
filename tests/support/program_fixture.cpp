// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/program_fixture.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <ostream>
#include <stdexcept>

#include "core/reasons.h"
#include "kernel/flow_reader.h"

namespace anycast::test {

namespace {

constexpr std::uint32_t kLoopback = 1; // a test run's ingress interface, in every namespace

template <typename Load> Program &shared_program(std::uint32_t roles, Load load)
{
	static std::map<std::uint32_t, std::unique_ptr<Program>> programs;
	auto &slot = programs[roles];
	if (!slot)
		slot = std::make_unique<Program>(load(roles));
	return *slot;
}

void must(const Status &status)
{
	if (!status)
		throw std::runtime_error(status.error().message());
}

template <typename T> T must(Result<T> result)
{
	if (!result)
		throw std::runtime_error(result.error().message());
	return std::move(*result);
}

void zero(Map &map)
{
	const std::vector<std::byte> nothing(std::size_t{(map.value_size() + 7U) & ~7U} *
					     map.max_entries());
	must(map.write(
		0, std::span(nothing).first(std::size_t{map.value_size()} * map.max_entries())));
}

std::uint32_t verdict_of(ax_reason reason, const ReasonInfo &info)
{
	if (reason >= 48)
		return XDP_DROP;
	return info.cls == AX_CLASS_STEER ? XDP_TX : XDP_PASS;
}

bool is_note(ax_reason reason)
{
	const ReasonInfo *info = find_reason(static_cast<int>(reason));
	return info != nullptr && info->cls == AX_CLASS_NOTE;
}

} // namespace

std::ostream &operator<<(std::ostream &out, const Outcome &outcome)
{
	out << "verdict " << outcome.verdict << ", " << reason_label(outcome.reason);
	if (!outcome.vip.empty())
		out << ", vip " << outcome.vip;
	if (!outcome.backend.empty())
		out << ", backend " << outcome.backend;
	return out;
}

// ---- small configurations ----------------------------------------------------------------------

Backend backend_at(const std::string &address, ax_backend_state state)
{
	return {.name = address, .address = *Address::parse(address), .state = state};
}

Vip vip_at(const std::string &name, const std::string &address, std::uint16_t port,
	   std::uint8_t protocol, const std::string &pool, ax_forward forward)
{
	return {.name = name,
		.address = *Address::parse(address),
		.port = port,
		.protocol = protocol,
		.pool = pool,
		.forward = forward};
}

Config guard_only()
{
	Config config;
	config.hash_seed = {11, 22};
	config.source_v4 = Address::parse("192.0.2.1");
	config.source_v6 = Address::parse("2001:db8:9::1");
	config.limits = {};
	return config;
}

Config two_families()
{
	Config config = guard_only();
	config.pools = {{.name = "web",
			 .table_size = 251,
			 .backends = {backend_at("10.1.0.11"), backend_at("10.1.0.12"),
				      backend_at("10.1.0.13")}},
			{.name = "web6",
			 .table_size = 251,
			 .backends = {backend_at("2001:db8:1::11"), backend_at("2001:db8:1::12"),
				      backend_at("2001:db8:1::13")}}};
	config.vips = {vip_at("www", "198.51.100.80", 80, kTcp, "web"),
		       vip_at("dns", "198.51.100.80", 53, kUdp, "web"),
		       vip_at("www6", "2001:db8::80", 80, kTcp, "web6"),
		       vip_at("dns6", "2001:db8::80", 53, kUdp, "web6")};
	return config;
}

std::map<std::string, ax_action> every_rule(ax_action action)
{
	std::map<std::string, ax_action> rules;
	for (const ReasonInfo &reason : reasons())
		if (reason.cls == AX_CLASS_RULE)
			rules.emplace(reason.label, action);
	return rules;
}

bool in_vm()
{
	return setting("AX_VM", 0) != 0;
}

std::uint64_t setting(const char *name, std::uint64_t otherwise)
{
	const char *text = std::getenv(name); // NOLINT(concurrency-mt-unsafe)
	return text != nullptr && *text != 0 ? std::strtoull(text, nullptr, 0) : otherwise;
}

std::uint16_t word_at(const Packet &packet, std::size_t at)
{
	return static_cast<std::uint16_t>(packet[at] << 8 | packet[at + 1]);
}

Bytes bytes_from(const Packet &packet, std::size_t at, std::size_t length)
{
	return packet.slice(at, length).bytes;
}

// ---- the fixture -------------------------------------------------------------------------------

Limits ProgramTest::limits()
{
	Limits limits;
	limits.flows_v4 = limits.flows_v6 = 4096;
	limits.vips = limits.pools = limits.backends = limits.peers = 64;
	limits.table_slots = 65536;
	limits.inserts_per_second = 0;
	return limits;
}

Program ProgramTest::load(std::uint32_t roles, const Limits &sizes)
{
	LoadOptions options;
	options.roles = roles;
	options.replay = true;
	options.limits = sizes;
	return must(Program::load(options));
}

Image ProgramTest::resolved(const Config &config, const NodeFacts &facts, const Ids &previous,
			    std::uint16_t mtu)
{
	Image image = must(compile(config, facts, previous));
	for (ax_backend &backend : image.backends) {
		if (backend.state == AX_BACKEND_ABSENT)
			continue;
		backend.flags |= AX_BACKEND_RESOLVED;
		backend.ifindex = kLoopback;
		backend.mtu = mtu;
		std::memcpy(backend.smac, kSourceMac, sizeof(backend.smac));
		std::memcpy(backend.dmac, kNextHopMac, sizeof(backend.dmac));
	}
	return image;
}

ProgramTest::ProgramTest(std::uint32_t roles)
	: limits_(limits()),
	  program_(&shared_program(roles, [](std::uint32_t some) { return load(some); }))
{
	stay_on_one_cpu();
}

ProgramTest::ProgramTest(const Limits &own)
	: limits_(own), own_(std::make_unique<Program>(load(AX_ROLE_EDGE, own))),
	  program_(own_.get())
{
	stay_on_one_cpu();
}

void ProgramTest::stay_on_one_cpu()
{
	// Flow tables and counters are per CPU: all packets of a test have to meet the same.
	sched_getaffinity(0, sizeof(cpus_), &cpus_);
	cpu_ = static_cast<std::uint32_t>(sched_getcpu());
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(cpu_, &one);
	if (sched_setaffinity(0, sizeof(one), &one) != 0)
		throw std::runtime_error("cannot stay on one CPU");
}

ProgramTest::~ProgramTest()
{
	sched_setaffinity(0, sizeof(cpus_), &cpus_);
}

void ProgramTest::SetUp()
{
	reset();
}

void ProgramTest::TearDown()
{
	std::uint64_t sum = 0;
	const std::vector<ReasonCount> final_counts = must(dataplane().reasons());
	for (const ReasonCount &count : final_counts)
		sum += count.packets;
	EXPECT_EQ(sum, sent_) << "each packet is counted under exactly one reason";
	expect_counted(AX_R_INTERNAL, 0);
}

void ProgramTest::forget_next_hops()
{
	zero(dataplane().map("ax_hop"));
}

void ProgramTest::forget_entries()
{
	for (const char *name : {"ax_flow4_idx", "ax_flow6_idx"})
		zero(dataplane().map(name));
}

void ProgramTest::reset_flows()
{
	for (const char *name :
	     {"ax_flow4_idx", "ax_flow4_slot", "ax_flow4_next", "ax_flow4", "ax_flow6_idx",
	      "ax_flow6_slot", "ax_flow6_next", "ax_flow6", "ax_anomaly", "ax_sack",
	      "ax_prefix_loss", "ax_dns", "ax_syn", "ax_hop", "ax_shortcut", "ax_cpu"})
		zero(dataplane().map(name));
}

void ProgramTest::reset()
{
	Dataplane &maps = dataplane();
	reset_flows();
	for (const char *name : {"ax_mark", "ax_mark_sum"})
		if (maps.optional_map(name)) // not in the legacy build
			must(maps.map(name).erase_all());
	for (const char *name : {"ax_reason", "ax_note"})
		for (const ReasonInfo &reason : reasons())
			must(maps.map(name).clear(static_cast<std::uint32_t>(reason.number)));
	zero(maps.map("ax_usual"));
	for (const char *name :
	     {"ax_vip_ctr", "ax_backend_ctr", "ax_vip_loss", "ax_backend_loss", "ax_peer_ctr"})
		for (std::uint32_t i = 0; i < 16; ++i)
			must(maps.map(name).clear(i));
	ax_ctl control{};
	control.abi = AX_ABI_VERSION;
	control.table_seed[0] = 0x616e796361737478;
	control.table_seed[1] = 0x6470207265706c61;
	must(maps.write_control(control));
	image_ = {};
	notes_.clear();
	clock_ns_ = 1'000'000'000;
	sent_ = 0;
}

const Image &ProgramTest::apply(Config config, const NodeFacts &facts, std::uint16_t mtu)
{
	config.limits = limits_;
	image_ = resolved(config, facts, image_.ids, mtu);
	must(dataplane().apply(image_));
	return image_;
}

Outcome ProgramTest::send(std::span<const std::uint8_t> frame)
{
	must(dataplane().set_clock(clock_ns_));
	TestRun run = must(program_->run(frame));
	const ax_trace trace = must(dataplane().trace());
	++sent_;
	Outcome outcome;
	outcome.verdict = run.verdict;
	outcome.reason = static_cast<ax_reason>(trace.reason);
	outcome.frame = Raw{std::move(run.frame)};
	if (trace.vip != 0)
		outcome.vip = image_.ids.vips.at(trace.vip - 1).name;
	if (trace.backend != 0)
		outcome.backend = Address(image_.backends.at(trace.backend - 1).addr).text();
	if (trace.slot != 0)
		outcome.slot = trace.slot - 1;
	return outcome;
}

Outcome ProgramTest::expect(ax_reason reason, const Packet &packet,
			    const std::source_location &where)
{
	const testing::ScopedTrace trace(where.file_name(), static_cast<int>(where.line()), "");
	const ReasonCount before = must(dataplane().reason(reason));
	Outcome outcome = send(packet);
	const ReasonCount after = must(dataplane().reason(reason));
	const ReasonInfo *info = find_reason(static_cast<int>(reason));

	if (outcome.reason != reason) {
		ADD_FAILURE() << outcome << " instead of " << reason_label(reason) << ": "
			      << packet.hex();
		return outcome;
	}
	EXPECT_EQ(outcome.verdict, verdict_of(reason, *info)) << packet;
	EXPECT_EQ(after.packets - before.packets, 1U) << reason_label(reason);
	EXPECT_EQ(after.bytes - before.bytes, packet.size()) << reason_label(reason);
	if (outcome.verdict == XDP_PASS && reason != AX_R_DECAPSULATED) {
		EXPECT_EQ(outcome.frame, packet) << "passed, but changed";
	}
	return outcome;
}

std::uint64_t ProgramTest::counted(ax_reason reason)
{
	if (!is_note(reason))
		return must(dataplane().reason(reason)).packets;
	return must(dataplane().map("ax_note").sum(static_cast<std::uint32_t>(reason)))[0];
}

void ProgramTest::expect_counted(ax_reason reason, std::uint64_t packets,
				 const std::source_location &where)
{
	const testing::ScopedTrace trace(where.file_name(), static_cast<int>(where.line()), "");
	EXPECT_EQ(counted(reason), packets) << reason_label(reason);
}

std::map<ax_reason, std::uint64_t> ProgramTest::all_notes()
{
	std::map<ax_reason, std::uint64_t> found;
	const std::vector<ReasonCount> counts = must(dataplane().notes());
	for (const ReasonCount &count : counts)
		if (count.packets != 0)
			found[static_cast<ax_reason>(count.reason)] = count.packets;
	return found;
}

std::map<ax_reason, std::uint64_t> ProgramTest::notes()
{
	std::map<ax_reason, std::uint64_t> now = all_notes(), difference;
	for (const auto &[reason, packets] : now)
		if (packets != notes_[reason])
			difference[reason] = packets - notes_[reason];
	notes_ = std::move(now);
	return difference;
}

void ProgramTest::set_table_seed(std::uint64_t first, std::uint64_t second)
{
	ax_ctl control = must(dataplane().control());
	control.table_seed[0] = first;
	control.table_seed[1] = second;
	must(dataplane().write_control(control));
}

std::vector<FlowRecord> ProgramTest::flows()
{
	return must(read_flows(dataplane(), StampClock::kUnknown));
}

FlowRecord ProgramTest::only_flow(const std::source_location &where)
{
	const testing::ScopedTrace trace(where.file_name(), static_cast<int>(where.line()), "");
	const std::vector<FlowRecord> all = flows();
	EXPECT_EQ(all.size(), 1U);
	return all.empty() ? FlowRecord{} : all.front();
}

} // namespace anycast::test
