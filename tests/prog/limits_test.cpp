// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The parser's bounds, each one below, at and above. VLAN depth: frame_test; extension headers:
// ip6_test; IPv4 options: ip4_test.
#include "support/program_fixture.h"
#include "support/rule_rows.h"

namespace anycast::test {
namespace {

constexpr int kQuoteDepth = 3; // AX_QUOTE_EXT_DEPTH of bpf/icmp.h
constexpr const char *kLocal = "2001:db8:9::1", *kPeer = "2001:db8:9::fe";

class ParserLimits : public ProgramTest {
protected:
	void apply_counting(ax_reason rule)
	{
		Config config = guard_only();
		config.rules = every_rule(AX_ACTION_OFF);
		config.rules[std::string(reason_label(rule))] = AX_ACTION_DROP;
		apply(config);
	}
};

// The first of so many different options, again behind them.
Packet repeated6(int others)
{
	Bytes options;
	for (int i = 0; i < others; ++i)
		options = join({options, {static_cast<std::uint8_t>(10 + i), 0}});
	return options6(join({options, {10, 0}}));
}

TEST_F(ParserLimits, OptionsOfAnIp6Header)
{
	apply_counting(AX_R_IP6_OPTION_TWICE);
	for (const int others : {1, 2, AX_IP6_OPTIONS - 2, AX_IP6_OPTIONS - 1})
		expect(AX_R_IP6_OPTION_TWICE, repeated6(others));
	expect(AX_R_NOT_VIP, repeated6(AX_IP6_OPTIONS)); // one more than is looked at
	expect(AX_R_NOT_VIP, repeated6(AX_IP6_OPTIONS + 1));
}

TEST_F(ParserLimits, OptionsOfTheLongestIp6Header)
{
	apply_counting(AX_R_IP6_OPTION_PADDING);
	// Behind an option of any length, up to the header's last bytes.
	for (const std::uint8_t length : {0, 1, 100, 254, 255})
		expect(AX_R_IP6_OPTION_PADDING,
		       options6(join({{30, length}, Bytes(length), {1, 1, 9}})));
	for (const std::uint8_t padding : {4, 5})
		expect(AX_R_NOT_VIP, options6(join({{1, padding}, Bytes(padding)})));
	expect(AX_R_IP6_OPTION_PADDING, options6(join({{1, 6}, Bytes(6)})));
	// It says that it is longer than the header: nothing that could be read.
	expect(AX_R_NOT_VIP, options6({1, 9, 1, 1, 1, 1}));
}

TEST_F(ParserLimits, FortyBytesOfTcpOptions)
{
	apply_counting(AX_R_TCP_OPTION_LENGTH);
	const auto behind = [](std::size_t fill, std::uint8_t with, const Bytes &last) {
		return Eth{} / Ip4{} / Tcp{.options = join({Bytes(fill, with), last})};
	};
	for (const std::size_t at : {0, 1, 19, 20, 21, 37, 38})
		expect(AX_R_TCP_OPTION_LENGTH, behind(at, 1, {5, 1}));
	expect(AX_R_TCP_OPTION_LENGTH, behind(39, 1, {5})); // no room for its length
	expect(AX_R_NOT_VIP, behind(40, 1, {}));
	expect(AX_R_NOT_VIP, behind(38, 1, {5, 2}));
	Bytes pairs;
	for (int i = 0; i < 20; ++i)
		pairs = join({pairs, {5, 2}});
	expect(AX_R_NOT_VIP, behind(0, 1, pairs));
	pairs.back() = 3;
	expect(AX_R_TCP_OPTION_LENGTH, behind(0, 1, pairs));
}

// A quote with more extension headers than are looked behind may be about a session: fail closed.
TEST_F(ParserLimits, ExtensionHeadersInAQuote)
{
	Config config = guard_only();
	config.gtsm_local = {*Address::parse(kLocal)};
	config.gtsm_peers = {{*Address::parse(kPeer), 1}};
	apply(config);
	const auto error = [](int headers, std::uint16_t port, std::uint8_t hops) {
		Packet quoted = Eth{} / Ip6{.src = kLocal, .dst = kPeer};
		for (int i = 0; i < headers; ++i)
			quoted = quoted / Ip6Ext{};
		quoted = quoted / Tcp{.dport = port};
		return Eth{} / Ip6{.src = "2001:db8::7", .dst = kLocal, .hop_limit = hops} /
		       Icmp6{.type = 1, .code = 4} / quoted.slice(14);
	};
	for (int headers = 0; headers <= kQuoteDepth; ++headers) {
		expect(AX_R_GTSM_ICMP, error(headers, 179, 254));
		expect(AX_R_NOT_VIP, error(headers, 443, 254));
		expect(AX_R_NOT_VIP, error(headers, 179, 255));
	}
	for (int headers = kQuoteDepth + 1; headers <= kQuoteDepth + 2; ++headers) {
		expect(AX_R_GTSM_ICMP, error(headers, 179, 254));
		expect(AX_R_GTSM_ICMP, error(headers, 443, 254));
		expect(AX_R_NOT_VIP, error(headers, 443, 255));
	}
}

// No chain of the most and longest headers that fits a test run's frame is read out of bounds.
TEST_F(ParserLimits, LongHeadersToTheFramesEnd)
{
	apply_counting(AX_R_IP6_EXT_TRUNCATED);
	Packet packet = Eth{} / Ip6{};
	for (int i = 0; i < 3; ++i)
		packet = packet / Ip6Ext{.body = Bytes(1000)};
	packet = packet / Udp{};
	expect(AX_R_NOT_VIP, packet);
	for (std::size_t left = 1; left < 40; ++left) {
		const Packet cut = packet.truncate(packet.size() - 8 - left);
		Bytes bytes = cut.bytes(); // its length is right, the header's end is gone
		const std::size_t payload = bytes.size() - 54;
		bytes[18] = static_cast<std::uint8_t>(payload >> 8);
		bytes[19] = static_cast<std::uint8_t>(payload);
		expect(AX_R_IP6_EXT_TRUNCATED, Raw{bytes});
	}
}

} // namespace
} // namespace anycast::test
