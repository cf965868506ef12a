// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What is not for a VIP, by the express way and by the long way: a tag sends a packet the long way,
// and changes nothing else of what is said of it. AX_FUZZ_SEED and AX_FUZZ_FRAMES choose which
// frames and how many.
#include "prog/frame_generator.h"
#include "core/reasons.h"
#include "support/program_fixture.h"

namespace anycast::test {
namespace {

constexpr const char *kOrdinary = "11.2.3.5", *kSession = "11.0.0.1", *kTunnel = "11.1.0.11",
		     *kPeer = "11.0.0.254", *kEdge = "11.0.0.9";
constexpr const char *kOrdinary6 = "2a00::5", *kSession6 = "2a00::1", *kTunnel6 = "2a00::11",
		     *kPeer6 = "2a00::254";
constexpr std::uint16_t kGue = 6080;

Packet from4(const std::string &source, const std::string &destination, std::uint8_t ttl = 64)
{
	return Eth{} / Ip4{.src = source, .dst = destination, .ttl = ttl};
}

Packet from6(const std::string &source, const std::string &destination, std::uint8_t hop_limit = 64)
{
	return Eth{} / Ip6{.src = source, .dst = destination, .hop_limit = hop_limit};
}

Bytes with_tag(const Bytes &frame)
{
	Bytes tagged = frame;
	tagged.insert(tagged.begin() + 12, {0x81, 0x00, 0x00, 0x07});
	return tagged;
}

Config nothing_but_a_guard()
{
	Config config = guard_only();
	config.roles = AX_ROLE_EDGE | AX_ROLE_BACKEND;
	config.gtsm_local = {*Address::parse(kSession), *Address::parse(kSession6),
			     *Address::parse("198.51.100.80"), *Address::parse("2001:db8::80")};
	config.gtsm_peers = {{*Address::parse(kPeer), 1},
			     {*Address::parse(kPeer6), 1},
			     {*Address::parse("203.0.113.5"), 1},
			     {*Address::parse("2001:db8::5"), 2}};
	config.edges = {*Address::parse(kEdge)};
	config.tunnel_addresses = {*Address::parse(kTunnel), *Address::parse(kTunnel6)};
	return config;
}

class Elsewhere : public BothRolesTest {
protected:
	using Notes = std::map<ax_reason, std::uint64_t>;

	void use(const std::map<std::string, ax_action> &rules)
	{
		Config config = nothing_but_a_guard();
		config.rules = rules;
		apply(config);
		notes();
	}

	ax_reason reason_of(const Bytes &frame) { return send(frame).reason; }

	// The reason, if both ways say the same. Of full length: the express way looks no further
	// at what is shorter than headers of IPv4 and TCP.
	ax_reason both_ways(const Packet &short_or_not,
			    const std::source_location &where = std::source_location::current())
	{
		const testing::ScopedTrace trace(where.file_name(), static_cast<int>(where.line()),
						 "");
		const Packet packet = Packet(short_or_not).pad(60);
		notes();
		const ax_reason reason = reason_of(packet.bytes());
		const Notes counted = notes();
		EXPECT_EQ(reason_label(reason), reason_label(reason_of(with_tag(packet.bytes()))))
			<< packet;
		EXPECT_EQ(counted, notes()) << packet;
		return reason;
	}
};

const std::vector<std::map<std::string, ax_action>> &rule_sets()
{
	static const auto sets = [] {
		std::vector<std::map<std::string, ax_action>> all = {{},
								     every_rule(AX_ACTION_COUNT),
								     every_rule(AX_ACTION_DROP),
								     every_rule(AX_ACTION_OFF),
								     every_rule(AX_ACTION_COUNT)};
		all.back()["ip4_src_special"] = AX_ACTION_OFF; // or else few are plain
		return all;
	}();
	return sets;
}

TEST_F(Elsewhere, OrdinaryPacketsAreNotForAVip)
{
	for (const auto &rules : rule_sets()) {
		use(rules);
		for (const Packet &from :
		     {from4(kOrdinary, "11.9.9.9"), from6(kOrdinary6, "2a00::9")}) {
			for (const std::uint8_t flags : {+kAck, kAck | kPsh, +kSyn, kSyn | kAck,
							 kFin | kAck, +kRst, kRst | kAck})
				EXPECT_EQ(both_ways(Packet(from) / Tcp{.flags = flags}),
					  AX_R_NOT_VIP);
			EXPECT_EQ(both_ways(Packet(from) / Tcp{.options = mss(1460)}),
				  AX_R_NOT_VIP);
			EXPECT_EQ(both_ways(Packet(from) / Udp{.dport = 443} / Payload(100)),
				  AX_R_NOT_VIP);
		}
	}
}

TEST_F(Elsewhere, SessionsAreGuarded)
{
	use({});
	for (const std::uint8_t ttl : {64, 255}) {
		const bool near = ttl == 255;
		const ax_reason known = near ? AX_R_GTSM_ACCEPTED : AX_R_GTSM_TTL;
		const ax_reason bfd = near ? AX_R_GTSM_ACCEPTED : AX_R_GTSM_BFD;
		for (const Tcp &segment :
		     {Tcp{.dport = 179}, Tcp{.sport = 179, .dport = 4000, .flags = kSyn | kAck}}) {
			EXPECT_EQ(both_ways(from4(kPeer, kSession, ttl) / segment), known);
			EXPECT_EQ(both_ways(from6(kPeer6, kSession6, ttl) / segment), known);
			EXPECT_EQ(both_ways(from4(kOrdinary, kSession, ttl) / segment), known);
			EXPECT_EQ(both_ways(from6(kOrdinary6, kSession6, ttl) / segment), known);
			EXPECT_EQ(both_ways(from4(kPeer, "11.9.9.9", ttl) / segment), AX_R_NOT_VIP);
		}
		EXPECT_EQ(both_ways(from4(kPeer, kSession, ttl) / Udp{.dport = 3784}), bfd);
		EXPECT_EQ(both_ways(from6(kPeer6, kSession6, ttl) / Udp{.dport = 3784}), bfd);
		EXPECT_EQ(both_ways(from4(kPeer, kSession, ttl) / Tcp{.dport = 22}), AX_R_NOT_VIP);
	}
}

TEST_F(Elsewhere, TunnelsAreLookedInto)
{
	use({});
	const Packet inner = Ip4{.src = kOrdinary, .dst = "11.9.9.9"} / Tcp{};
	for (const std::uint16_t port : {kGue, std::uint16_t{6081}}) {
		const bool tunnel = port == kGue;
		EXPECT_EQ(both_ways(from4(kOrdinary, kTunnel) / Udp{.dport = port} / Payload(40)),
			  tunnel ? AX_R_TUNNEL_UNTRUSTED : AX_R_NOT_VIP);
		EXPECT_EQ(both_ways(from6(kOrdinary6, kTunnel6) / Udp{.dport = port} / Payload(40)),
			  tunnel ? AX_R_TUNNEL_UNTRUSTED : AX_R_NOT_VIP);
		EXPECT_EQ(
			both_ways(from4(kOrdinary, "11.9.9.9") / Udp{.dport = port} / Payload(40)),
			AX_R_NOT_VIP);
	}
	EXPECT_EQ(both_ways(from4(kOrdinary, kTunnel) / inner), AX_R_TUNNEL_UNTRUSTED);
	EXPECT_EQ(both_ways(from4(kEdge, kTunnel) / inner), AX_R_TUNNEL_NOT_VIP);
	EXPECT_EQ(both_ways(from4(kEdge, "11.9.9.9") / inner), AX_R_NOT_VIP);
}

TEST_F(Elsewhere, RulesHaveTheirSay)
{
	for (const auto &rules : rule_sets()) {
		if (in_vm() && &rules != &rule_sets().back()) // reading the notes takes long there
			continue;
		use(rules);
		for (const RuleRow &row : rule_rows())
			for (const Packet &packet : {row.hit, row.near_miss})
				if (packet.bytes()[12] == 0x08 || packet.bytes()[12] == 0x86)
					both_ways(packet);
		for (const char *source :
		     {"0.0.0.0", "0.0.0.1", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.0.1",
		      "172.16.0.1", "192.0.2.1", "192.168.0.1", "198.51.100.1", "203.0.113.1",
		      "224.0.0.1", "255.255.255.255", "11.9.9.9"})
			for (const char *destination :
			     {"11.9.9.9", "0.0.0.1", "127.0.0.1", "224.0.0.251", "255.255.255.255"})
				both_ways(from4(source, destination) / Udp{.dport = 67});
		for (const char *source : {"::", "::1", "ff02::1", "::ffff:11.2.3.5", "2a00::9"})
			for (const char *destination :
			     {"2a00::9", "::", "::1", "ff02::fb", "::ffff:11.2.3.5"})
				both_ways(from6(source, destination) / Udp{.dport = 547});
		for (const std::uint16_t port : {0, 179, 3784}) {
			both_ways(from4(kOrdinary, "11.9.9.9") / Tcp{.sport = port});
			both_ways(from4(kOrdinary, "11.9.9.9") / Tcp{.dport = port});
			both_ways(from4(kOrdinary, "11.9.9.9") / Udp{.sport = port});
			both_ways(from4(kOrdinary, "11.9.9.9") / Udp{.dport = port});
		}
		for (unsigned flags = 0; flags < 64; ++flags)
			both_ways(from4(kOrdinary, "11.9.9.9") /
				  Tcp{.flags = static_cast<std::uint8_t>(flags)});
		both_ways(from4(kOrdinary, "11.9.9.9", 0) / Tcp{});
		both_ways(from4(kOrdinary, "11.9.9.9") / Icmp4{.type = 5});
		both_ways(from4(kOrdinary, "11.9.9.9") / Icmp4{});
		both_ways(Eth{} / Ip4{.src = kOrdinary, .mf = true} / Udp{} / Payload(64));
		both_ways(Eth{} / Ip4{.src = kOrdinary, .checksum = 1} / Tcp{});
		both_ways(from6(kOrdinary6, "2a00::9") / Udp{.checksum = 0});
		both_ways(from6(kOrdinary6, "2a00::9", 0) / Tcp{});
	}
}

TEST_F(Elsewhere, BothWaysSayTheSameOfAnything)
{
	constexpr std::uint64_t kBatch = 64;
	const std::uint64_t frames = setting("AX_FUZZ_FRAMES", in_vm() ? 2000 : 20000);
	const FrameGenerator generator(setting("AX_FUZZ_SEED", 1) + 5000);
	std::uint64_t passed = 0;

	for (std::uint64_t n = 0; n < frames && !HasFailure(); n += kBatch) {
		Notes counted;
		if (n / kBatch % 8 == 0)
			use(rule_sets()[n / kBatch / 8 % rule_sets().size()]);
		for (std::uint64_t i = n; i < n + kBatch; ++i) {
			const Bytes frame = generator.frame(i);
			if (frame[12] == 0x81 || frame[12] == 0x88) // a tag more may be too many
				continue;
			const ax_reason reason = reason_of(frame);
			for (const auto &[note, times] : notes())
				counted[note] += times;
			ASSERT_EQ(reason_label(reason), reason_label(reason_of(with_tag(frame))))
				<< "frame " << i << ": " << Packet(Raw{frame}).hex();
			for (const auto &[note, times] : notes())
				counted[note] -= times;
			passed += reason == AX_R_NOT_VIP;
		}
		for (const auto &[note, difference] : counted)
			EXPECT_EQ(difference, 0U) << reason_label(note) << " of frames from " << n;
	}
	EXPECT_GT(passed, frames / 20);
}

} // namespace
} // namespace anycast::test
