// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A router that damps flaps.
#pragma once

#include <algorithm>
#include <cmath>

#include "core/damping.h"

namespace anycast::test {

// RFC 2439 as routers do it, written from the RFC and not from the model: penalties decay in whole
// ticks since the last event, and a prefix is suppressed from `suppress` on until `reuse`.
class DampingRouter {
public:
	explicit DampingRouter(const DampingProfile &profile) : profile_(profile) {}
	void withdraw(double now) { event(now, profile_.withdrawal); }
	void announce(double now)
	{
		if (known_)
			event(now, profile_.announcement);
	}
	void change(double now) { event(now, profile_.change); }
	[[nodiscard]] bool ever_suppressed() const { return suppressed_; }
	[[nodiscard]] double penalty_at(double now) const
	{
		const double ticks = std::floor(std::max(0.0, now - at_) / profile_.tick);
		return penalty_ * std::pow(0.5, ticks * profile_.tick / profile_.half_life);
	}

private:
	void event(double now, double points)
	{
		penalty_ = std::min(penalty_at(now) + points, ceiling());
		at_ = now;
		known_ = true;
		suppressed_ |= penalty_ >= profile_.suppress;
	}
	[[nodiscard]] double ceiling() const
	{
		return profile_.reuse * std::pow(2.0, profile_.max_suppress / profile_.half_life);
	}

	const DampingProfile &profile_;
	double penalty_ = 0, at_ = 0;
	bool known_ = false, suppressed_ = false;
};

} // namespace anycast::test
