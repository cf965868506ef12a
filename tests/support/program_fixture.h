// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The real program under BPF_PROG_TEST_RUN, in a private replay instance: its own maps, a clock
// that the test sets, and a trace of what each packet came to. No interface, no pins.
#pragma once

#include <sched.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <linux/bpf.h>

#include "core/flow.h"
#include "core/image.h"
#include "kernel/program.h"
#include "support/oracle.h"
#include "support/packet.h"
#include "support/protocols.h"

namespace anycast::test {

// What became of one packet.
struct Outcome {
	std::uint32_t verdict = 0; // XDP_*
	ax_reason reason = AX_CONTINUE;
	std::string vip, backend;	   // name and address; "" if nobody asked
	std::optional<std::uint32_t> slot; // Maglev slot; none if the flow table answered
	Packet frame;			   // as it left the program
};
std::ostream &operator<<(std::ostream &out, const Outcome &outcome);

// ---- small configurations ----------------------------------------------------------------------

Backend backend_at(const std::string &address, ax_backend_state state = AX_BACKEND_ACTIVE);
Vip vip_at(const std::string &name, const std::string &address, std::uint16_t port,
	   std::uint8_t protocol, const std::string &pool, ax_forward forward = AX_FORWARD_IPIP);
// The builder's default destinations as VIPs: www (TCP 80) and dns (UDP 53) of both families, each
// on three backends of its own family, tunnelled. Without address rules, since test packets come
// from documentation prefixes anyway.
Config two_families();
// No VIP: what the guard lets by is passed as not_vip.
Config guard_only();
// Every rule of the guard set to `action`.
std::map<std::string, ax_action> every_rule(ax_action action);

bool in_vm(); // AX_VM=1: a guest of tests/vm, ten times slower
std::uint64_t setting(const char *name, std::uint64_t otherwise); // a number of the environment

// ---- the fixture -------------------------------------------------------------------------------

// One program per set of roles is loaded, and serves all tests of the process; each test starts
// with empty tables, counters at 0 and no configuration. When a test ends, the packets counted must
// be those that were sent.
class ProgramTest : public testing::Test {
protected:
	explicit ProgramTest(std::uint32_t roles = AX_ROLE_EDGE);
	explicit ProgramTest(const Limits &own); // a program of its own, with other limits
	~ProgramTest() override;
	void SetUp() override;
	void TearDown() override;

	// Compiles and applies; ids go on from the configuration before. Every backend is a
	// resolved next hop by the ingress interface, so that what is steered is XDP_TX.
	const Image &apply(Config config, const NodeFacts &facts = {}, std::uint16_t mtu = 1500);

	Outcome send(std::span<const std::uint8_t> frame);
	// Sends it and checks reason, verdict, that just this reason was counted once with the
	// frame's bytes, and that a frame that is passed is passed as it was.
	Outcome expect(ax_reason reason, const Packet &packet,
		       const std::source_location &where = std::source_location::current());
	void expect_counted(ax_reason reason, std::uint64_t packets,
			    const std::source_location &where = std::source_location::current());
	[[nodiscard]] std::uint64_t counted(ax_reason reason); // final reasons, or notes
	// The rules and notes that were counted since the last call, each with how often.
	std::map<ax_reason, std::uint64_t> notes();
	void count_sent() { ++sent_; } // by a test that runs the program itself

	void set_clock_us(std::uint64_t us) { clock_ns_ = us * 1000; }
	void advance_us(std::uint64_t us) { clock_ns_ += us * 1000; }
	[[nodiscard]] std::uint64_t clock_us() const { return clock_ns_ / 1000; }
	void set_table_seed(std::uint64_t first, std::uint64_t second);
	std::vector<FlowRecord> flows();
	void reset_flows(); // forgets them all, and the next hops
	void forget_next_hops();
	void forget_entries(); // of flows; what SYNs left stays
	FlowRecord only_flow(const std::source_location &where = std::source_location::current());

	[[nodiscard]] const Image &image() const { return image_; }
	[[nodiscard]] Dataplane &dataplane() { return program_->dataplane(); }
	[[nodiscard]] Program &program() { return *program_; }
	[[nodiscard]] std::uint32_t cpu() const { return cpu_; }
	[[nodiscard]] static Limits limits(); // unless it has its own

	// A second instance of the program, as another node has it.
	[[nodiscard]] static Program load(std::uint32_t roles, const Limits &sizes = limits());
	static Image resolved(const Config &config, const NodeFacts &facts, const Ids &previous,
			      std::uint16_t mtu);

private:
	void stay_on_one_cpu();
	void reset();
	std::map<ax_reason, std::uint64_t> all_notes();

	Limits limits_;
	std::unique_ptr<Program> own_;
	Program *program_;
	Image image_;
	cpu_set_t cpus_{};
	std::uint32_t cpu_ = 0;
	std::uint64_t clock_ns_ = 0, sent_ = 0;
	std::map<ax_reason, std::uint64_t> notes_;
};

class BackendTest : public ProgramTest { // backend role only
protected:
	BackendTest() : ProgramTest(AX_ROLE_BACKEND) {}
};

class BothRolesTest : public ProgramTest {
protected:
	BothRolesTest() : ProgramTest(AX_ROLE_EDGE | AX_ROLE_BACKEND) {}
};

// Addresses of the next hop that apply() gives every backend.
inline constexpr std::uint8_t kSourceMac[6] = {2, 0, 0, 0, 0, 0x11},
			      kNextHopMac[6] = {2, 0, 0, 0, 0, 0x22};

std::uint16_t word_at(const Packet &packet, std::size_t at); // host order
// The same bytes from `at` on as a packet of its own.
Bytes bytes_from(const Packet &packet, std::size_t at, std::size_t length = SIZE_MAX);

} // namespace anycast::test
