// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/line.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <ctime>

#include "support/isolation.h"

namespace anycast::test {

namespace {

constexpr std::size_t kMaxFrame = 2048;
constexpr std::int64_t kForever = INT64_MAX;

std::int64_t now_ns()
{
	timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

std::uint64_t mix(std::uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ULL;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

// A number below 10,000 that depends on the seed, the packet and what it is for.
unsigned throw_dice(std::uint64_t seed, std::uint64_t packet, std::uint64_t what)
{
	return static_cast<unsigned>(mix(seed + mix(packet * 4 + what)) % 10000);
}

std::uint32_t word_at(std::span<const std::uint8_t> frame, std::size_t at)
{
	std::uint32_t word;
	std::memcpy(&word, frame.data() + at, sizeof(word));
	return ntohl(word);
}

std::uint16_t half_at(std::span<const std::uint8_t> frame, std::size_t at)
{
	return static_cast<std::uint16_t>(frame[at] << 8 | frame[at + 1]);
}

// A TCP segment with data, where it is in the frame.
struct Data {
	std::size_t l4 = 0;
	std::uint32_t payload = 0; // 0: it is none
};

Data data_in(std::span<const std::uint8_t> frame)
{
	Data data;
	std::size_t bytes = 0;
	if (frame.size() < 54)
		return data;
	if (half_at(frame, 12) == ETHERTYPE_IP && frame[23] == IPPROTO_TCP) {
		const std::size_t header = (frame[14] & 15) * 4U;
		data.l4 = ETH_HLEN + header;
		bytes = half_at(frame, 16) - header;
	} else if (half_at(frame, 12) == ETHERTYPE_IPV6 && frame[20] == IPPROTO_TCP) {
		data.l4 = ETH_HLEN + 40;
		bytes = half_at(frame, 18);
	} else {
		return data;
	}
	const std::size_t header = (frame[data.l4 + 12] >> 4) * 4U;
	if (bytes > header && data.l4 + bytes <= frame.size())
		data.payload = static_cast<std::uint32_t>(bytes - header);
	return data;
}

// RFC 3168; RFC 1624 for the checksum.
bool mark(std::span<std::uint8_t> frame)
{
	if (half_at(frame, 12) != ETHERTYPE_IP || (frame[15] & 3) == 0)
		return false;
	std::uint32_t sum = static_cast<std::uint16_t>(~half_at(frame, 24));
	sum += static_cast<std::uint16_t>(~half_at(frame, 14));
	frame[15] |= 3;
	sum += half_at(frame, 14);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	frame[24] = static_cast<std::uint8_t>(~sum >> 8);
	frame[25] = static_cast<std::uint8_t>(~sum);
	return true;
}

} // namespace

unsigned Line::cpu()
{
	cpu_set_t set;
	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	unsigned cpu = 0;
	while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, &set))
		cpu++;
	return cpu;
}

Line::Line(const LinkEnd &a, const LinkEnd &b, unsigned mtu)
{
	// Its ends must send nothing of their own: a router solicitation from a timer would have
	// the node's packets handled by that timer's CPU.
	netns_.sysctl("net.ipv6.conf.default.disable_ipv6", "1");
	for (const auto &[side, end] : {std::pair{0, &a}, std::pair{1, &b}}) {
		const LinkEnd own{netns_, side == 0 ? "line0" : "line1"};
		connect_veth(*end, own, mtu);
		receive_on_cpu(own, own_cpu_);
		netns_.run([&] {
			Fd &fd = sides_[static_cast<std::size_t>(side)].in;
			fd = Fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
			const int one = 1, room = 64 << 20;
			sockaddr_ll address{};
			address.sll_family = AF_PACKET;
			address.sll_protocol = htons(ETH_P_ALL);
			address.sll_ifindex = static_cast<int>(if_nametoindex(own.name.c_str()));
			if (!fd.valid() ||
			    setsockopt(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &one,
				       sizeof(one)) ||
			    setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) ||
			    setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) ||
			    bind(fd.get(), reinterpret_cast<sockaddr *>(&address), sizeof(address)))
				throw_errno("packet socket of the line");
		});
	}
	thread_ = std::jthread([this](const std::stop_token &stop) { work(stop); });
	run_on(own_cpu_);
}

Line::~Line() = default;

bool Line::use_other_cpu(unsigned every)
{
	const std::lock_guard lock(mutex_);
	cpu_set_t set;
	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	for (unsigned other = cpu() + 1; other < CPU_SETSIZE; other++) {
		if (!CPU_ISSET(other, &set))
			continue;
		other_cpu_ = other;
		turn_ = every;
		turned_ = sent_;
		run_on(other);
		return true;
	}
	return false;
}

void Line::run_on(unsigned cpu_number)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu_number, &set);
	pthread_setaffinity_np(thread_.native_handle(), sizeof(set), &set);
}

void Line::take_turns()
{
	if (turn_ == 0 || sent_ - turned_ < turn_)
		return;
	turned_ = sent_;
	run_on(sent_ / turn_ % 2 == 0 ? other_cpu_ : own_cpu_);
}

void Line::impair(Direction direction, const Impairment &impairment)
{
	const std::lock_guard lock(mutex_);
	Side &side = sides_[direction];
	side.impairment = impairment;
	side.counts = {};
	side.next.clear();
	side.packets = 0;
	side.burst_left = 0;
}

LineCounts Line::counts(Direction direction) const
{
	const std::lock_guard lock(mutex_);
	return sides_[direction].counts;
}

// As <anycast_xdp/mark.h> has it, read anew.
std::uint8_t Line::mark_in(std::span<const std::uint8_t> frame)
{
	if (frame.size() < ETH_HLEN + 40 + 8 + 16)
		return 0;
	const bool four = half_at(frame, 12) == ETHERTYPE_IP;
	const std::size_t l4 = ETH_HLEN + (four ? 20U : 40U);
	const unsigned protocol = four ? frame[ETH_HLEN + 9] : frame[ETH_HLEN + 6];
	if (protocol == IPPROTO_UDP && half_at(frame, l4 + 2) == 6080)
		return frame[l4 + 8 + 7];
	if (four && (protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6) &&
	    frame[ETH_HLEN + 4] == 0xa5)
		return frame[ETH_HLEN + 5];
	return 0;
}

void Line::judge(Side &side, std::span<std::uint8_t> frame, std::int64_t now)
{
	const Impairment &how = side.impairment;
	std::int64_t due = now + how.delay_us * 1000LL;
	if (how.marked) {
		const std::uint8_t mark = mark_in(frame);
		if ((mark & 0xc0) != 0) {
			const bool by_flow = (mark & 0x40) != 0;
			const std::uint64_t number = side.packets++;
			side.counts.segments++;
			side.counts.first += by_flow;
			if (throw_dice(how.seed, number, 0) < how.lose_per_10000) {
				(by_flow ? side.counts.first_lost : side.counts.again_lost)++;
				return;
			}
			if (throw_dice(how.seed, number, 1) < how.hold_per_10000) {
				side.counts.held++;
				due += how.hold_us * 1000LL;
			}
		}
	} else if (const Data data = data_in(frame); data.payload != 0) {
		Flow flow{};
		const std::size_t addresses = data.l4 == ETH_HLEN + 40 ? 32 : 8;
		std::copy_n(frame.begin() + static_cast<std::ptrdiff_t>(data.l4 - addresses),
			    addresses + 4, flow.begin());
		const std::uint32_t end = word_at(frame, data.l4 + 4) + data.payload;
		const auto [next, unknown] = side.next.try_emplace(flow, end);
		const bool first = unknown || static_cast<std::int32_t>(end - next->second) > 0;
		if (first)
			next->second = end;
		side.counts.segments++;
		side.counts.first += first;

		const std::uint64_t number = side.packets++;
		if (side.burst_left == 0 &&
		    throw_dice(how.seed, number, 0) * how.burst < how.lose_per_10000)
			side.burst_left = how.burst;
		if (side.burst_left != 0) {
			side.burst_left--;
			(first ? side.counts.first_lost : side.counts.again_lost)++;
			return;
		}
		if (throw_dice(how.seed, number, 1) < how.hold_per_10000) {
			side.counts.held++;
			due += how.hold_us * 1000LL;
		}
		if (throw_dice(how.seed, number, 2) < how.mark_per_10000)
			side.counts.marked += mark(frame);
	}
	static std::uint64_t arrivals = 0; // of one thread
	side.waiting.push({due, arrivals++, {frame.begin(), frame.end()}});
}

void Line::take(Direction direction)
{
	Side &side = sides_[direction];
	std::array<std::uint8_t, kMaxFrame> frame;
	for (int i = 0; i < 64; i++) {
		const ssize_t got = recv(side.in.get(), frame.data(), frame.size(), 0);
		if (got <= 0)
			return;
		judge(side, {frame.data(), static_cast<std::size_t>(got)}, now_ns());
	}
}

// When the next one is due.
std::int64_t Line::release(Direction direction, std::int64_t now)
{
	auto &waiting = sides_[direction].waiting;
	const int out = sides_[1 - direction].in.get();
	while (!waiting.empty() && waiting.top().due_ns <= now) {
		const auto &frame = waiting.top().frame;
		send(out, frame.data(), frame.size(), 0);
		sent_++;
		take_turns();
		waiting.pop();
	}
	return waiting.empty() ? kForever : waiting.top().due_ns;
}

void Line::work(const std::stop_token &stop)
{
	pollfd fds[2]{{sides_[kForth].in.get(), POLLIN, 0}, {sides_[kBack].in.get(), POLLIN, 0}};
	while (!stop.stop_requested()) {
		std::int64_t due = kForever;
		{
			const std::lock_guard lock(mutex_);
			for (const Direction direction : {kForth, kBack}) {
				take(direction);
				due = std::min(due, release(direction, now_ns()));
			}
		}
		const std::int64_t wait = std::clamp<std::int64_t>(due - now_ns(), 0, 20'000'000);
		const timespec limit{0, wait};
		ppoll(fds, 2, &limit, nullptr);
	}
}

} // namespace anycast::test
