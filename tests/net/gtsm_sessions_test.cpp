// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Real eBGP sessions under forgery from every distance, without the guard and with it.
#include "net/gtsm_lab.h"

namespace anycast::test {

namespace {

Tcp reset_of(const SeenSegment &last)
{
	return {.sport = *last.head.source_port,
		.dport = *last.head.destination_port,
		.seq = last.next_seq,
		.flags = kRst};
}

} // namespace

// What the guard is for: the kernel's own TTL security alone lets all of this happen.
TEST(GtsmSessions, WithoutTheGuardForgersAreHeard)
{
	in_lab([] {
		BgpSessions lab;
		lab.await_up();
		const std::uint64_t cookies = lab.kernel_counter("SyncookiesSent");
		std::uint16_t port = 10000;
		for (const Peer &peer : peers()) {
			SCOPED_TRACE(peer.name);
			EXPECT_EQ(lab.answered(peer, 64, port), kSyns);
			port = static_cast<std::uint16_t>(port + kSyns);
			// IPv6 compares the error's own hop limit, IPv4 that of what it quotes,
			// which is the forger's to choose.
			std::uint64_t refused = lab.kernel_counter("TCPMinTTLDrop");
			lab.forge_too_big(peer, 64, lab.last(peer, peer.local));
			EXPECT_TRUE(wait_until(milliseconds(2000), [&] {
				return peer.six()
					       ? lab.kernel_counter("TCPMinTTLDrop") == refused + 1
					       : lab.mtu_was_lowered(peer);
			}));
			lab.forget_mtu();
			refused = lab.kernel_counter("TCPMinTTLDrop");
			lab.forge(peer, peer.forged_ttl, reset_of(lab.last(peer, peer.address)));
			EXPECT_TRUE(wait_until(milliseconds(2000), [&] {
				return lab.kernel_counter("TCPMinTTLDrop") == refused + 1;
			})) << "the kernel has to look at it itself";
		}
		lab.flood();
		EXPECT_TRUE(wait_until(milliseconds(2000), [&] {
			return lab.kernel_counter("SyncookiesSent") > cookies + kFlood / 2;
		})) << lab.kernel_counter("SyncookiesSent");
	});
}

TEST(GtsmSessions, WithItNoneIsAndNoSessionNotices)
{
	in_lab([] {
		BgpSessions lab;
		lab.await_up();
		lab.attach();
		const auto before = lab.edge.bird->session_states();
		ASSERT_EQ(before.size(), peers().size());
		const std::uint64_t cookies = lab.kernel_counter("SyncookiesSent");
		const std::uint64_t refused = lab.kernel_counter("TCPMinTTLDrop");
		std::uint64_t ttl = 0, icmp = 0;
		std::uint16_t port = 20000;
		for (const Peer &peer : peers()) {
			SCOPED_TRACE(peer.name);
			for (const std::uint8_t from : {std::uint8_t{64}, peer.forged_ttl}) {
				EXPECT_EQ(lab.answered(peer, from, port), 0);
				port = static_cast<std::uint16_t>(port + kSyns);
				ttl += kSyns;
				lab.forge_too_big(peer, from, lab.last(peer, peer.local));
				icmp++;
				lab.forge(peer, from, reset_of(lab.last(peer, peer.address)));
				ttl++;
			}
			EXPECT_TRUE(wait_until(milliseconds(3000),
					       [&] {
						       return lab.dropped("gtsm_ttl") == ttl &&
							      lab.dropped("gtsm_icmp") == icmp;
					       }))
				<< lab.dropped("gtsm_ttl") << " of " << ttl << ", "
				<< lab.dropped("gtsm_icmp") << " of " << icmp;
			EXPECT_FALSE(lab.mtu_was_lowered(peer));
		}
		lab.flood();
		ttl += kFlood;
		EXPECT_TRUE(wait_until(milliseconds(3000),
				       [&] { return lab.dropped("gtsm_ttl") == ttl; }));
		EXPECT_EQ(lab.kernel_counter("SyncookiesSent"), cookies);
		EXPECT_EQ(lab.kernel_counter("TCPMinTTLDrop"), refused)
			<< "dropped before the kernel counts it";
		EXPECT_EQ(lab.edge.bird->session_states(), before)
			<< "all sessions are up since when they were";
		// As near as the peer itself may be, the same SYNs are answered.
		for (const Peer &peer : peers()) {
			const auto near = static_cast<std::uint8_t>(peer.forged_ttl + 1);
			EXPECT_EQ(lab.answered(peer, near, port), kSyns) << peer.name;
			port = static_cast<std::uint16_t>(port + kSyns);
		}
		EXPECT_EQ(lab.edge.bird->session_states(), before);
		const auto status = lab.cli.ask(lab.edge.netns, {"status"});
		for (const auto &interface : status["interfaces"])
			for (const auto &row : interface["gtsm_peers"])
				if (row["peer"] == "10.9.1.1" ? interface["interface"] == "eth1"
							      : interface["interface"] == "eth0") {
					EXPECT_GT(row["accepted"], 0) << row;
					EXPECT_GT(row["refused"], 2 * kSyns) << row;
				}
	});
}

// docs/gtsm.md, "Drops from an honest peer": its kernel answers for sockets that are gone with its
// default TTL.
TEST(GtsmSessions, APeersKernelSpeaksFromAfarUnlessToldOtherwise)
{
	in_lab([] {
		BgpSessions lab;
		lab.await_up();
		lab.attach();
		const auto refusals = [&] { return lab.dropped("gtsm_ttl"); };
		const auto resets = [&](std::uint8_t ttl) {
			const auto frames = lab.wire("lan0").frames();
			return std::ranges::count_if(frames, [&](const Bytes &frame) {
				const auto seen = segment_in(frame);
				return seen && (seen->flags & kRst) != 0 &&
				       *seen->head.source_port == 179 && *seen->head.ttl == ttl;
			});
		};
		EXPECT_EQ(refusals(), 0U);
		for (const char *peer : {"near4", "near6"}) // nobody listens; the edge asks on
			(void)lab.router_bird->ask(std::string("disable ") + peer);
		EXPECT_TRUE(wait_until(milliseconds(10000), [&] { return refusals() >= 2; }));
		EXPECT_GT(resets(64), 0);
		lab.router.sysctl("net.ipv4.ip_default_ttl", "255");
		lab.router.sysctl("net.ipv6.conf.lan0.hop_limit", "255");
		std::this_thread::sleep_for(milliseconds(500)); // what was under way
		(void)resets(0);
		const std::uint64_t before = refusals();
		std::ptrdiff_t near = 0;
		EXPECT_TRUE(wait_until(milliseconds(10000),
				       [&] { return (near += resets(255)) >= 2; }));
		EXPECT_EQ(refusals(), before);
	});
}

namespace {

// Errors about a peer's path MTU that the kernel believes, each quoting something else than a
// segment of the session as it was.
struct Disguise {
	const char *name;
	Packet quoted;
	std::size_t first = 0; // bytes of the message in the first fragment; 0: whole
};

std::vector<Disguise> disguises(const Peer &peer, const SeenSegment &ours)
{
	const Tcp tcp{.sport = *ours.head.source_port,
		      .dport = *ours.head.destination_port,
		      .seq = ours.next_seq};
	if (peer.six()) {
		const Ip6 ip{.src = peer.local, .dst = peer.address};
		return {{"our answer to a ping", Eth{} / ip / Icmp6{.type = 129}},
			{"another version",
			 Eth{} / Ip6{.src = peer.local, .dst = peer.address, .version = 5} /
				 Icmp6{}}};
	}
	const Ip4 ip{.src = peer.local, .dst = peer.address, .ttl = 255};
	Ip4 five = ip, later = ip;
	five.version = 5;
	later.offset = 9;
	return {{"our answer to a ping", Eth{} / ip / Icmp4{.type = 0}},
		{"another version", Eth{} / five / tcp},
		{"a later fragment", Eth{} / later / tcp},
		{"fragments", Eth{} / ip / tcp, 8}};
}

void forge(const BgpSessions &lab, const Peer &peer, std::uint8_t ttl, const Disguise &disguise)
{
	if (disguise.first == 0)
		lab.forge_too_big_about(peer, ttl, disguise.quoted);
	else
		lab.forge_fragmented(peer, ttl, disguise.quoted, disguise.first);
}

} // namespace

TEST(GtsmSessions, ErrorsInDisguiseLowerNoPathMtu)
{
	in_lab([] {
		BgpSessions lab;
		lab.await_up();
		// Each about the session's last segment, or the kernel finds its number too old.
		const auto each = [&](const auto &visit) {
			for (const Peer &peer : peers())
				for (std::size_t i = 0; i < (peer.six() ? 2U : 4U); i++) {
					const auto all =
						disguises(peer, lab.last(peer, peer.local));
					forge(lab, peer, 64, all.at(i));
					visit(peer, all.at(i).name);
				}
		};
		each([&](const Peer &peer, const char *name) {
			EXPECT_TRUE(wait_until(milliseconds(2000),
					       [&] { return lab.mtu_was_lowered(peer); }))
				<< "the kernel does not believe " << name << " of " << peer.name
				<< ", out of window: " << lab.kernel_counter("OutOfWindowIcmps");
			lab.forget_mtu();
			EXPECT_FALSE(lab.mtu_was_lowered(peer));
		});
		lab.attach();
		std::uint64_t forged = 0;
		each([&](const Peer &peer, const char *name) {
			forged++;
			EXPECT_TRUE(wait_until(milliseconds(2000),
					       [&] { return lab.dropped("gtsm_icmp") == forged; }))
				<< name << " of " << peer.name;
			EXPECT_FALSE(lab.mtu_was_lowered(peer)) << name << " of " << peer.name;
		});
	});
}

} // namespace anycast::test
