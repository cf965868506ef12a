// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The client's end of a TCP connection (RFC 9293) as far as a check needs it: what the kernel's TCP
// cannot do for us, since the VIP is an address of this node. One piece is on its way at a time;
// what arrives out of order is asked for again. Pure.
#pragma once

#include <functional>

#include "health/tunnel_packet.h"

namespace anycast::health {

class TunnelTcp {
public:
	// Of one piece, so that it is below any first window.
	static constexpr std::size_t kPiece = 4096;

	using Send = std::function<void(const Segment &)>;
	using Take = std::function<std::size_t(std::span<const std::uint8_t>)>; // how many bytes
	TunnelTcp(std::uint32_t first, Send send, Take take);

	void open();
	void answer(const TunnelAnswer &segment);
	void write(std::span<const std::uint8_t> piece); // while idle(), kPiece at most
	void again();					 // sends what nobody has acknowledged
	void reset();					 // leaves nothing behind at the other end

	enum class State { kOpening, kOpen, kEnded, kRefused, kReset };
	[[nodiscard]] State state() const { return state_; }
	[[nodiscard]] bool idle() const
	{
		return (state_ == State::kOpen || state_ == State::kEnded) &&
		       unacknowledged_.empty();
	}

private:
	void acknowledge();
	void answer_to_syn(const TunnelAnswer &segment);
	void take_data(const TunnelAnswer &segment);

	Send send_;
	Take take_;
	State state_ = State::kOpening;
	std::uint32_t acknowledged_; // by the other end: where `unacknowledged_` begins
	std::uint32_t expected_ = 0; // of the other end
	std::size_t segment_size_ = 0;
	Bytes unacknowledged_;
};

} // namespace anycast::health
