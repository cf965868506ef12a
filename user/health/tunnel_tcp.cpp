// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "health/tunnel_tcp.h"

#include <algorithm>

namespace anycast::health {

namespace {

// Ours fits every path that takes IPv6 with room for a tunnel; what the other end may send too.
constexpr std::uint16_t kMss = 1200, kDefaultMss = 536; // RFC 9293 section 3.7.1

} // namespace

TunnelTcp::TunnelTcp(std::uint32_t first, Send send, Take take)
	: send_(std::move(send)), take_(std::move(take)), acknowledged_(first)
{
}

void TunnelTcp::open()
{
	send_({.sequence = acknowledged_, .flags = kTcpSyn, .mss = kMss});
}

void TunnelTcp::acknowledge()
{
	send_({.sequence = acknowledged_ + static_cast<std::uint32_t>(unacknowledged_.size()),
	       .acknowledged = expected_,
	       .flags = kTcpAck});
}

void TunnelTcp::answer(const TunnelAnswer &segment)
{
	switch (state_) {
	case State::kRefused:
	case State::kReset:
		return;
	case State::kOpening:
		answer_to_syn(segment);
		return;
	case State::kOpen:
	case State::kEnded:
		break;
	}
	if (segment.flags & kTcpReset) {
		if (segment.sequence == expected_) // RFC 5961 section 3.2
			state_ = State::kReset;
		return;
	}
	if (!(segment.flags & kTcpAck))
		return;
	const std::uint32_t more = segment.acknowledged - acknowledged_;
	if (more <= unacknowledged_.size()) {
		unacknowledged_.erase(unacknowledged_.begin(), unacknowledged_.begin() + more);
		acknowledged_ += more;
	}
	if (segment.flags & kTcpSyn) // our acknowledgement of it was lost
		acknowledge();
	else if (!segment.payload.empty() || segment.flags & kTcpFin)
		take_data(segment);
}

void TunnelTcp::answer_to_syn(const TunnelAnswer &segment)
{
	if (!(segment.flags & kTcpAck) || segment.acknowledged != acknowledged_ + 1)
		return;
	if (segment.flags & kTcpReset) {
		state_ = State::kRefused;
	} else if (segment.flags & kTcpSyn) {
		state_ = State::kOpen;
		acknowledged_++;
		expected_ = segment.sequence + 1;
		segment_size_ = std::clamp(segment.mss == 0 ? kDefaultMss : segment.mss,
					   std::uint16_t{64}, kMss);
		acknowledge();
	}
}

void TunnelTcp::take_data(const TunnelAnswer &segment)
{
	const std::uint32_t known = expected_ - segment.sequence;
	if (known <= segment.payload.size()) {
		const auto fresh = segment.payload.subspan(known);
		const std::size_t taken = fresh.empty() ? 0 : take_(fresh);
		expected_ += static_cast<std::uint32_t>(taken);
		if (segment.flags & kTcpFin && taken == fresh.size() && state_ == State::kOpen) {
			expected_++;
			state_ = State::kEnded;
		}
	}
	acknowledge();
}

void TunnelTcp::write(std::span<const std::uint8_t> piece)
{
	unacknowledged_.assign(piece.begin(), piece.end());
	again();
}

void TunnelTcp::again()
{
	if (state_ == State::kOpening)
		open();
	for (std::size_t at = 0; at < unacknowledged_.size(); at += segment_size_) {
		const auto part = std::span(unacknowledged_).subspan(at);
		send_({.sequence = acknowledged_ + static_cast<std::uint32_t>(at),
		       .acknowledged = expected_,
		       .flags = kTcpAck | kTcpPush,
		       .payload = part.first(std::min(part.size(), segment_size_))});
	}
}

void TunnelTcp::reset()
{
	if (state_ == State::kOpen || state_ == State::kEnded)
		send_({.sequence =
			       acknowledged_ + static_cast<std::uint32_t>(unacknowledged_.size()),
		       .acknowledged = expected_,
		       .flags = kTcpReset | kTcpAck});
}

} // namespace anycast::health
