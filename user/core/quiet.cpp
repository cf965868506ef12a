// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/quiet.h"

#include <algorithm>
#include <iterator>

namespace anycast {

namespace {

constexpr std::uint64_t kPart = 50;

} // namespace

void QuietWatch::sample(std::uint64_t packets, double now)
{
	if (!samples_.empty() && packets < samples_.back().second)
		samples_.clear(); // attached anew
	samples_.emplace_back(now, packets);
	while (samples_.size() > 1 && samples_[1].first <= now - kWindow)
		samples_.pop_front();
}

std::optional<std::uint64_t> QuietWatch::last_window() const
{
	if (samples_.empty() || samples_.back().first - samples_.front().first < kWindow)
		return std::nullopt;
	return samples_.back().second - samples_.front().second;
}

void QuietWatch::drain(double now)
{
	if (!before_)
		before_ = Begin{now, last_window().value_or(0)};
}

bool QuietWatch::quiet() const
{
	const auto now = last_window();
	return before_ && now && samples_.back().first - before_->at >= kWindow &&
	       *now * kPart <= before_->packets;
}

void FlowWatch::sample(std::vector<std::uint64_t> flows, double now)
{
	if (begin_ && now - at_ < QuietWatch::kWindow)
		return;
	std::ranges::sort(flows);
	if (begin_) {
		std::vector<std::uint64_t> fresh;
		std::ranges::set_difference(flows, last_, std::back_inserter(fresh));
		fresh_ = fresh.size();
	} else {
		begin_ = flows.size();
	}
	last_ = std::move(flows);
	at_ = now;
}

bool FlowWatch::quiet() const
{
	return begin_ && *begin_ != 0 && fresh_ && *fresh_ * kPart <= *begin_;
}

} // namespace anycast
