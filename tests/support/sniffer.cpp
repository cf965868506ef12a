// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/sniffer.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstring>
#include <span>

#include "support/isolation.h"

namespace anycast::test {

namespace {

std::string text_of(in_addr address)
{
	char text[INET_ADDRSTRLEN];
	return inet_ntop(AF_INET, &address, text, sizeof(text));
}

std::optional<Segment> segment_in(std::span<const std::uint8_t> frame)
{
	iphdr ip;
	tcphdr tcp;
	if (frame.size() < ETH_HLEN + sizeof(ip) || frame[12] != 8 || frame[13] != 0)
		return std::nullopt;
	std::memcpy(&ip, frame.data() + ETH_HLEN, sizeof(ip));
	const std::size_t at = ETH_HLEN + ip.ihl * 4u;
	if (ip.protocol != IPPROTO_TCP || frame.size() < at + sizeof(tcp))
		return std::nullopt;
	std::memcpy(&tcp, frame.data() + at, sizeof(tcp));

	Segment segment;
	segment.source = text_of({ip.saddr});
	segment.destination = text_of({ip.daddr});
	segment.sport = ntohs(tcp.source);
	segment.dport = ntohs(tcp.dest);
	segment.seq = ntohl(tcp.seq);
	segment.ack = ntohl(tcp.ack_seq);
	segment.flags = frame[at + 13];
	segment.ttl = ip.ttl;
	segment.payload = ntohs(ip.tot_len) - ip.ihl * 4u - tcp.doff * 4u;
	return segment;
}

} // namespace

Sniffer::Sniffer(const LinkEnd &end)
{
	end.netns.run([&] {
		socket_ = Fd(socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
		const int room = 8 << 20;
		setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
		sockaddr_ll where{};
		where.sll_family = AF_PACKET;
		where.sll_protocol = htons(ETH_P_ALL);
		where.sll_ifindex = static_cast<int>(if_nametoindex(end.name.c_str()));
		if (bind(socket_.get(), reinterpret_cast<sockaddr *>(&where), sizeof(where)))
			throw_errno("packet socket on " + end.name);
	});
}

std::vector<Bytes> Sniffer::frames()
{
	std::vector<Bytes> found;
	Bytes frame(65536);
	for (ssize_t got; (got = recv(socket_.get(), frame.data(), frame.size(), 0)) > 0;)
		found.emplace_back(frame.begin(), frame.begin() + got);
	return found;
}

std::vector<Segment> Sniffer::segments()
{
	std::vector<Segment> found;
	std::vector<std::uint8_t> frame(65536);
	for (ssize_t got; (got = recv(socket_.get(), frame.data(), frame.size(), 0)) > 0;)
		if (const auto segment = segment_in({frame.data(), static_cast<std::size_t>(got)}))
			found.push_back(*segment);
	return found;
}

} // namespace anycast::test
