// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The program against a second implementation of the guard, on frames nobody thought of.
// AX_FUZZ_SEED and AX_FUZZ_FRAMES choose which and how many.
#include <algorithm>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "core/drop_sample.h"
#include "prog/flow_frames.h"
#include "prog/guard_comparison.h"

namespace anycast::test {
namespace {

constexpr std::uint64_t kBatch = 512;  // frames between two readings of the counters
constexpr std::uint64_t kRules = 1024; // frames between two sets of rules

std::uint64_t frames_wanted()
{
	return setting("AX_FUZZ_FRAMES", in_vm() ? 5000 : 100000);
}

std::uint64_t seed_wanted()
{
	return setting("AX_FUZZ_SEED", 1);
}

GuardRules rules_of(std::uint64_t n)
{
	Random random(ax_mix(n + 99));
	switch (n % 8) {
	case 0:
	case 1:
		return {};
	case 2:
		return GuardRules::all(AX_ACTION_COUNT);
	case 3:
		return GuardRules::all(AX_ACTION_OFF);
	case 4:
		return GuardRules::all(AX_ACTION_DROP);
	default: {
		GuardRules rules;
		for (ax_action &action : rules.action)
			action = random.pick(
				{AX_ACTION_DROP, AX_ACTION_COUNT, AX_ACTION_COUNT, AX_ACTION_OFF});
		return rules;
	}
	}
}

std::uint16_t word_of(const Bytes &frame) // the ethertype
{
	return static_cast<std::uint16_t>(frame[12] << 8 | frame[13]);
}

class Differential : public GuardComparison {
protected:
	void compare(std::uint64_t seed, std::uint64_t frames);
};

void Differential::compare(std::uint64_t seed, std::uint64_t frames)
{
	const FrameGenerator generator(seed);
	std::map<std::string, std::uint64_t> repeated; // rules counted twice for one frame
	std::vector<Bytes> batch;
	for (std::uint64_t n = 0; n < frames && !HasFailure(); ++n) {
		if (n % kRules == 0)
			use(rules_of(n / kRules));
		batch.push_back(generator.frame(n));
		if (!same_reason(batch.back()))
			report(batch.back(), fmt::format("seed {} frame {}", seed, n));
		if (batch.size() < kBatch && n + 1 < frames)
			continue;
		if (!same_notes()) { // which one?
			for (const ax_reason rule : counted_too_often())
				++repeated[std::string(reason_label(rule))];
			for (std::size_t i = 0; i < batch.size(); ++i)
				if (!difference(batch[i]).empty())
					report(batch[i], fmt::format("seed {} frame {}", seed,
								     n + 1 - batch.size() + i));
			use(rules());
		}
		batch.clear();
	}
	std::cout << frames << " frames of seed " << seed << "\n";
	for (const auto &[rule, batches] : repeated)
		ADD_FAILURE() << rule << " was counted more than once for one frame in " << batches
			      << " batches of " << kBatch;
}

TEST_F(Differential, TheGuardDoesWhatTheOracleSays)
{
	compare(seed_wanted(), frames_wanted());
}

// The generator's favourite destinations as session addresses, its favourite sources as peers.
GuardSessions add_sessions(Config &config)
{
	const auto bytes_of = [](const Address &address) -> Bytes {
		const auto &all = address.bytes();
		return {address.is_v4() ? all.begin() + 12 : all.begin(), all.end()};
	};
	GuardSessions sessions;
	for (const char *local : {"198.51.100.80", "2001:db8::80"}) {
		config.gtsm_local.push_back(*Address::parse(local));
		sessions.local.insert(bytes_of(config.gtsm_local.back()));
	}
	const std::pair<const char *, std::uint16_t> peers[] = {
		{"203.0.113.5", 1}, {"9.9.9.9", 2},	{"10.1.2.3", 0},
		{"2001:db8::5", 1}, {"2001:db8::6", 2}, {"2001:db8::7", 0}};
	for (const auto &[address, hops] : peers) {
		config.gtsm_peers.push_back({*Address::parse(address), hops});
		sessions.hops[bytes_of(config.gtsm_peers.back().address)] = hops;
	}
	return sessions;
}

class DifferentialWithSessions : public Differential {
protected:
	void SetUp() override
	{
		Differential::SetUp();
		Config config = guard_only();
		sessions_ = add_sessions(config);
		apply(config);
		use(GuardRules{});
	}
	Expected wanted(Frame frame) override { return expected_of(frame, rules(), sessions_); }

private:
	GuardSessions sessions_;
};

TEST_F(DifferentialWithSessions, GtsmDoesWhatTheOracleSays)
{
	const auto missed = [&]() -> std::vector<std::string_view> {
		std::vector<std::string_view> rules;
		for (const ax_reason reason :
		     {AX_R_GTSM_ACCEPTED, AX_R_GTSM_TTL, AX_R_GTSM_UNKNOWN_PEER, AX_R_GTSM_BFD,
		      AX_R_GTSM_ICMP, AX_R_GTSM_FRAGMENT})
			if (counted(reason) + (*dataplane().map("ax_note").sum(reason))[0] == 0)
				rules.push_back(reason_label(reason));
		return rules;
	};
	// A slow machine goes on until each of the rules was hit.
	for (std::uint64_t round = 0; round < 8 && !HasFailure(); ++round) {
		compare(seed_wanted() + 4000 + 1000 * round, frames_wanted());
		if (missed().empty())
			break;
	}
	EXPECT_THAT(missed(), testing::IsEmpty());
}

class DifferentialWithVips : public GuardComparison {
protected:
	void SetUp() override
	{
		GuardComparison::SetUp();
		Config config = two_families();
		config.rules["ip4_zero_length"] = AX_ACTION_DROP; // its length is not its own
		config.rules["ip6_zero_length"] = AX_ACTION_DROP;
		apply(config, {}, 9000);
		rules_ = GuardRules{}
				 .with(AX_R_IP4_ZERO_LENGTH, AX_ACTION_DROP)
				 .with(AX_R_IP6_ZERO_LENGTH, AX_ACTION_DROP);
	}
	GuardRules rules_;

	// "" if program and oracle agree on the frame, and what is sent is the frame in an
	// envelope.
	std::string disagreement(const Bytes &frame)
	{
		const GuardVerdict said = guard_oracle(frame, rules_);
		std::uint32_t verdict = 0;
		ax_trace trace{};
		if (!run(frame, verdict, trace))
			return "the kernel refused it";
		const auto reason = static_cast<ax_reason>(trace.reason);
		const std::string label(reason_label(reason));
		if (said.verdict != AX_CONTINUE)
			return reason == said.verdict && verdict == XDP_DROP
				       ? ""
				       : label + " instead of " +
						 std::string(reason_label(said.verdict));
		if (verdict == XDP_DROP) {
			const bool checksum = reason == AX_R_IP4_CHECKSUM && said.bad_checksum;
			const bool ttl =
				(reason == AX_R_IP4_TTL_ZERO || reason == AX_R_IP6_HOP_ZERO) &&
				said.ttl_zero;
			return checksum || ttl ? "" : "dropped as " + label;
		}
		if (verdict == XDP_PASS)
			return std::ranges::equal(out(), frame) ? "" : "passed, but changed";
		if (verdict != XDP_TX || said.seen != Seen::kIp)
			return "steered though it cannot be read";
		if (said.bad_checksum || said.ttl_zero)
			return "steered past the kernel's own check of the header";
		++steered_;
		backend_ = trace.backend;
		return envelope(frame);
	}

	// The packet is inside, byte by byte; the outer header is right.
	std::string envelope(const Bytes &frame)
	{
		const bool v4 = out()[12] == 0x08;
		const std::size_t header = 14 + (v4 ? 20 : 40);
		const std::size_t l2 = frame.size() + header - out().size();
		if (!std::ranges::equal(out().subspan(header), Frame(frame).subspan(l2)))
			return "what is inside the tunnel is not what came";
		return v4 && internet_checksum(out().subspan(14, 20)) != 0
			       ? "the outer header's checksum is wrong"
			       : "";
	}

	void look_at(const Bytes &frame, std::uint64_t n)
	{
		const std::string what = disagreement(frame);
		if (what.empty())
			return;
		const std::string name = fmt::format("vips seed {} frame {}", seed_wanted(), n);
		std::string file_name = name;
		std::ranges::replace(file_name, ' ', '-');
		const std::string file =
			save_regression({name + ": " + what, rules_, frame}, file_name);
		FAIL() << name << ": " << what << "\n"
		       << Packet(Raw{frame}).hex()
		       << (file.empty() ? "not saved: no folder" : "saved as " + file);
	}
	std::uint64_t steered_ = 0;
	std::uint32_t backend_ = 0; // id + 1, of the last frame that was steered
};

TEST_F(DifferentialWithVips, NothingIsSteeredThatTheOracleWouldNotLetBy)
{
	const FrameGenerator generator(seed_wanted() + 1000);
	const std::uint64_t frames = frames_wanted() / 2;
	for (std::uint64_t n = 0; n < frames && !HasFatalFailure(); ++n) {
		Bytes frame = generator.frame(n);
		if (n % 2 == 0) // so that they get further
			FlowFrames::mend_checksum(frame);
		look_at(frame, n);
	}
	std::cout << frames << " frames, " << steered_ << " steered\n";
	EXPECT_GT(steered_, frames / 100);
}

TEST_F(DifferentialWithVips, PacketsOfKnownFlowsAreJudgedLikeAnyOther)
{
	Random random(ax_mix(seed_wanted() + 2000));
	FlowFrames flows;
	std::array<std::uint32_t, FlowFrames::kFlows> backend{};
	const std::uint64_t frames = frames_wanted();
	std::uint64_t ordinary = 0;
	for (std::uint64_t n = 0; n < frames && !HasFatalFailure(); ++n) {
		const FlowFrame frame = flows.next(random);
		const std::uint64_t before = steered_;
		look_at(frame.bytes, n);
		if (!frame.ordinary)
			continue;
		++ordinary;
		ASSERT_EQ(steered_, before + 1)
			<< "frame " << n << " was not steered: " << Packet(Raw{frame.bytes}).hex();
		if (backend[frame.flow] == 0)
			backend[frame.flow] = backend_;
		ASSERT_EQ(backend_, backend[frame.flow]) << "frame " << n << " left its flow";
	}
	std::cout << frames << " frames of " << FlowFrames::kFlows << " flows, " << ordinary
		  << " of them ordinary, " << steered_ << " steered\n";
	EXPECT_GT(ordinary, frames / 3);
}

// Any frame's network layer in a tunnel from an edge: the inner packet is judged like any other.
class DifferentialInTunnel : public GuardComparison {
protected:
	DifferentialInTunnel() : GuardComparison(AX_ROLE_BACKEND) {}
	void SetUp() override
	{
		GuardComparison::SetUp();
		Config config = two_families();
		config.roles = AX_ROLE_BACKEND;
		config.edges = {*Address::parse("9.0.0.1"), *Address::parse("2001:db8:a::1")};
		config.tunnel_addresses = {*Address::parse("9.1.0.11"),
					   *Address::parse("2001:db8:a::11")};
		sessions_ = add_sessions(config);
		apply(config);
		use(GuardRules{});
	}

	static Bytes in_tunnel(const Bytes &inner, bool outer4)
	{
		const bool inner4 = inner[12] == 8;
		const Raw payload{Bytes(inner.begin() + 14, inner.end())};
		const std::uint8_t protocol = inner4 ? kIpIp : kIp6InIp;
		return outer4 ? (Eth{} /
				 Ip4{.src = "9.0.0.1", .dst = "9.1.0.11", .protocol = protocol} /
				 payload)
					.bytes()
			      : (Eth{} /
				 Ip6{.src = "2001:db8:a::1",
				     .dst = "2001:db8:a::11",
				     .next_header = protocol} /
				 payload)
					.bytes();
	}

	// As if it had come without the tunnel, but for what a tunnel must not hold.
	Expected wanted(Frame frame) override
	{
		const bool outer4 = frame[12] == 8;
		const std::size_t header = 14 + (outer4 ? 20 : 40);
		Bytes inner(frame.begin(), frame.begin() + 14);
		const std::uint8_t protocol = outer4 ? frame[23] : frame[20];
		inner[12] = protocol == kIpIp ? 0x08 : 0x86;
		inner[13] = protocol == kIpIp ? 0x00 : 0xdd;
		inner.insert(inner.end(), frame.begin() + static_cast<long>(header), frame.end());
		GuardRules inside = rules();
		inside.tunnelled = true;
		Expected expected = expected_of(inner, inside, sessions_);
		const GuardVerdict verdict = guard_oracle(inner, inside, sessions_);
		if (verdict.verdict != AX_CONTINUE)
			return expected;
		DropSample decoded;
		decode_frame(inner, decoded);
		if (verdict.seen != Seen::kIp || decoded.protocol == kIpIp ||
		    decoded.protocol == kIp6InIp)
			return refused(std::move(expected), AX_R_TUNNEL_MALFORMED);
		if (!is_vip(*decoded.destination))
			return refused(std::move(expected), AX_R_TUNNEL_NOT_VIP);
		if (expected.reason == AX_R_NOT_VIP)
			expected.reason = AX_R_DECAPSULATED;
		return expected;
	}

	// For another reason than a rule: what is not passed is not counted as passed either.
	static Expected refused(Expected expected, ax_reason reason)
	{
		expected.reason = reason;
		for (const ax_reason passed :
		     {AX_R_IP4_CHECKSUM_PASSED, AX_R_IP4_TTL_ZERO_PASSED, AX_R_IP6_HOP_ZERO_PASSED})
			expected.noted.erase(passed);
		return expected;
	}

	static bool is_vip(const Address &address)
	{
		return address.text() == "198.51.100.80" || address.text() == "2001:db8::80";
	}

private:
	GuardSessions sessions_;
};

TEST_F(DifferentialInTunnel, TheInnerPacketIsJudgedLikeAnyOther)
{
	const FrameGenerator generator(seed_wanted() + 3000);
	const std::uint64_t frames = frames_wanted() / 4;
	std::uint64_t tunnelled = 0, decapsulated = 0, right = 0;
	for (std::uint64_t n = 0; n < frames && !HasFailure(); ++n) {
		if (n % kRules == 0)
			use(rules_of(n / kRules));
		Bytes inner = generator.frame(n);
		if (inner.size() < 34) // less than an IPv4 header: another reason
			continue;
		if (word_of(inner) != 0x0800 && word_of(inner) != 0x86dd)
			continue;
		++tunnelled;
		const Bytes frame = in_tunnel(inner, n % 2 == 0);
		// Notes one by one now and then, as reading them takes long.
		if (same_reason(frame) && (n % 64 != 0 || difference(frame).empty()))
			++right;
		else
			ADD_FAILURE() << fmt::format("tunnel seed {} frame {}\n", seed_wanted(), n)
				      << difference(frame) << "\n"
				      << Packet(Raw{frame}).hex();
		decapsulated += wanted(frame).reason == AX_R_DECAPSULATED;
	}
	std::cout << tunnelled << " frames in tunnels, " << decapsulated << " decapsulated\n";
	EXPECT_EQ(right, tunnelled);
	EXPECT_GT(decapsulated, tunnelled / 20);
	EXPECT_GT(counted(AX_R_GTSM_ACCEPTED), 0U) << "of the exempt peers";
}

// What once differed: alone, and as a packet of a flow that is known.
TEST_F(Differential, SavedCasesAreRight)
{
	for (const auto &file : regression_files(regression_folder())) {
		std::ifstream in(file);
		const RegressionCase saved = read_regression(in);
		use(saved.rules);
		EXPECT_EQ(difference(saved.frame), "") << file << ": " << saved.comment;
	}
}

TEST_F(DifferentialWithVips, SavedCasesAreRight)
{
	for (const auto &file : regression_files(regression_folder())) {
		std::ifstream in(file);
		const RegressionCase saved = read_regression(in);
		for (int time = 0; time < 3; ++time)
			EXPECT_EQ(disagreement(saved.frame), "") << file << ": " << saved.comment;
	}
}

TEST(Regressions, AreReadAsTheyWereWritten)
{
	RegressionCase saved{"seed 1 frame 2: a difference",
			     GuardRules{}.with(AX_R_IP4_IHL, AX_ACTION_COUNT),
			     (Eth{} / Ip4{} / Udp{}).bytes()};
	std::stringstream text(regression_text(saved));
	const RegressionCase read = read_regression(text);
	EXPECT_EQ(read.comment, saved.comment);
	EXPECT_EQ(read.rules.action, saved.rules.action);
	EXPECT_EQ(read.frame, saved.frame);
	std::stringstream odd("rule no_such_rule drop\n");
	EXPECT_THROW(read_regression(odd), std::runtime_error);
}

} // namespace
} // namespace anycast::test
