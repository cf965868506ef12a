// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The captures of tests/data/rules: for each rule a frame that breaks it and one that just does
// not. They are the rows of rule_rows.h and of this file; AX_WRITE_CAPTURES=1 writes them anew.
#include <cstdlib>
#include <filesystem>
#include <set>

#include "core/reasons.h"
#include "net/pcap.h"
#include "support/program_fixture.h"
#include "support/rule_rows.h"

namespace anycast::test {
namespace {

namespace fs = std::filesystem;

constexpr const char *kFolder = "tests/data/rules";
constexpr const char *kLocal = "192.0.2.1", *kPeer = "192.0.2.254";

// The rules of other stages: GTSM, and what is judged where a packet is steered.
std::vector<RuleRow> other_rows()
{
	const auto bgp = [](const char *from, std::uint8_t ttl) {
		return Eth{} / Ip4{.src = from, .dst = kLocal, .ttl = ttl} / Tcp{.dport = 179};
	};
	const auto bfd = [](std::uint8_t ttl) {
		return Eth{} / Ip4{.src = kPeer, .dst = kLocal, .ttl = ttl} /
		       Udp{.sport = 49152, .dport = 3784} / Payload(24);
	};
	const auto error = [](std::uint8_t ttl) {
		const Packet ours = Eth{} / Ip4{.src = kLocal, .dst = kPeer} / Tcp{.dport = 179};
		return Eth{} / Ip4{.dst = kLocal, .ttl = ttl} /
		       Icmp4{.type = 3, .code = 4, .seq = 600} / ours.slice(14, 28);
	};
	const auto later = [](std::uint8_t ttl) {
		const Ip4 ip{
			.src = kPeer, .dst = kLocal, .offset = 3, .ttl = ttl, .protocol = kTcp};
		return Eth{} / ip / Payload(16);
	};
	const auto sum = [](const char *to, std::optional<std::uint16_t> checksum) {
		return Eth{} / Ip4{.dst = to, .checksum = checksum} / Tcp{};
	};
	return {
		{AX_R_GTSM_TTL, bgp(kPeer, 254), bgp(kPeer, 255)},
		{AX_R_GTSM_UNKNOWN_PEER, bgp("192.0.2.251", 255), bgp(kPeer, 255)},
		{AX_R_GTSM_BFD, bfd(254), bfd(255)},
		{AX_R_GTSM_ICMP, error(254), error(255)},
		{AX_R_IP4_CHECKSUM, sum("198.51.100.80", 1), sum("198.51.100.80", std::nullopt)},
		{AX_R_IP4_CHECKSUM_PASSED, sum("198.51.100.81", 1),
		 sum("198.51.100.81", std::nullopt)},
		{AX_R_IP4_TTL_ZERO, Eth{} / Ip4{.ttl = 0} / Tcp{}, Eth{} / Ip4{.ttl = 1} / Tcp{}},
		{AX_R_IP6_HOP_ZERO, Eth{} / Ip6{.hop_limit = 0} / Tcp{},
		 Eth{} / Ip6{.hop_limit = 1} / Tcp{}},
		{AX_R_GTSM_FRAGMENT, later(254), later(255)},
		{AX_R_IP4_TTL_ZERO_PASSED, Eth{} / Ip4{.dst = "198.51.100.81", .ttl = 0} / Tcp{},
		 Eth{} / Ip4{.dst = "198.51.100.81", .ttl = 1} / Tcp{}},
		{AX_R_IP6_HOP_ZERO_PASSED,
		 Eth{} / Ip6{.dst = "2001:db8::81", .hop_limit = 0} / Tcp{},
		 Eth{} / Ip6{.dst = "2001:db8::81", .hop_limit = 1} / Tcp{}},
	};
}

std::vector<RuleRow> all_rows()
{
	std::vector<RuleRow> rows = rule_rows();
	std::ranges::copy(other_rows(), std::back_inserter(rows));
	return rows;
}

fs::path file_of(ax_reason rule)
{
	return fs::path(kFolder) / (std::string(reason_label(rule)) + ".pcap");
}

std::vector<Bytes> frames_of(const fs::path &file)
{
	std::vector<Bytes> frames;
	auto reader = CaptureReader::open(file.string());
	EXPECT_TRUE(reader) << file;
	while (reader) {
		auto frame = reader->next();
		EXPECT_TRUE(frame) << file;
		if (!frame || !*frame)
			break;
		frames.push_back((*frame)->bytes);
	}
	return frames;
}

void write(const RuleRow &row)
{
	auto writer = CaptureWriter::create(file_of(row.rule).string());
	ASSERT_TRUE(writer) << writer.error().message();
	for (const Packet &packet : {row.hit, row.near_miss})
		ASSERT_TRUE(writer->write(packet, 0));
	ASSERT_TRUE(writer->close());
}

class Captures : public ProgramTest {
protected:
	void SetUp() override
	{
		ProgramTest::SetUp();
		if (!fs::is_directory(kFolder))
			GTEST_SKIP() << "no " << kFolder << ": run from the sources' folder";
	}
	void only(ax_reason rule, ax_action action)
	{
		Config config = two_families();
		config.gtsm_local = {*Address::parse(kLocal)};
		config.gtsm_peers = {{*Address::parse(kPeer), 1}};
		config.rules = every_rule(AX_ACTION_OFF);
		config.rules[std::string(reason_label(rule))] = action;
		apply(config);
		notes();
	}
};

TEST_F(Captures, AreTheRowsOfTheTables)
{
	const char *anew = std::getenv("AX_WRITE_CAPTURES"); // NOLINT(concurrency-mt-unsafe)
	std::set<int> rules, expected;
	for (const ReasonInfo &reason : reasons())
		if (reason.cls == AX_CLASS_RULE)
			expected.insert(reason.number);
	for (const RuleRow &row : all_rows()) {
		rules.insert(row.rule);
		if (anew != nullptr)
			write(row);
		const std::vector<Bytes> frames = frames_of(file_of(row.rule));
		ASSERT_EQ(frames.size(), 2U) << reason_label(row.rule);
		EXPECT_EQ(frames[0], row.hit.bytes()) << reason_label(row.rule);
		EXPECT_EQ(frames[1], row.near_miss.bytes()) << reason_label(row.rule);
	}
	EXPECT_EQ(rules, expected) << "every rule has a capture";
}

TEST_F(Captures, TheirFirstFrameBreaksTheRuleAndTheSecondDoesNot)
{
	for (const ReasonInfo &reason : reasons()) {
		if (reason.cls != AX_CLASS_RULE)
			continue;
		const auto rule = static_cast<ax_reason>(reason.number);
		const std::vector<Bytes> frames = frames_of(file_of(rule));
		ASSERT_EQ(frames.size(), 2U) << reason.label;
		only(rule, AX_ACTION_DROP);
		expect(rule, Packet(Raw{frames[0]}));
		EXPECT_NE(send(frames[1]).verdict, static_cast<std::uint32_t>(XDP_DROP))
			<< reason.label;
		only(rule, AX_ACTION_COUNT);
		EXPECT_NE(send(frames[0]).verdict, static_cast<std::uint32_t>(XDP_DROP))
			<< reason.label;
		EXPECT_EQ(notes()[rule], 1U) << reason.label;
		send(frames[1]);
		EXPECT_EQ(notes()[rule], 0U) << reason.label;
	}
}

} // namespace
} // namespace anycast::test
