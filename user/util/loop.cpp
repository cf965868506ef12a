// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "util/loop.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>

namespace anycast {

using std::chrono::milliseconds;

Result<Loop> Loop::make()
{
	Fd epoll(epoll_create1(EPOLL_CLOEXEC));
	if (!epoll.valid())
		return fail_errno("epoll_create1", errno);
	return Loop(std::move(epoll));
}

Status Loop::watch(int fd, std::uint32_t events, OnEvents on_events)
{
	const bool known = watched_.contains(fd);
	const std::uint32_t serial = ++serial_;
	epoll_event event{};
	event.events = events;
	// The serial tells an event of this watch from one of a closed descriptor's, same number.
	event.data.u64 = std::uint64_t{serial} << 32 | static_cast<std::uint32_t>(fd);
	// A library may have closed a descriptor without telling, and the kernel given it out
	// again.
	if (epoll_ctl(epoll_.get(), known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) &&
	    (!known || errno != ENOENT || epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event)))
		return fail_errno("epoll_ctl", errno);
	watched_[fd] = {serial, std::make_shared<OnEvents>(std::move(on_events))};
	return {};
}

void Loop::forget(int fd)
{
	if (watched_.erase(fd) > 0)
		epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

Loop::Timer Loop::at(Clock::time_point when, std::function<void()> callback)
{
	const Timer timer = ++last_timer_;
	timers_.emplace(std::pair{when, timer}, std::move(callback));
	when_.emplace(timer, when);
	return timer;
}

void Loop::cancel(Timer timer)
{
	const auto found = when_.find(timer);
	if (found == when_.end())
		return;
	timers_.erase({found->second, timer});
	when_.erase(found);
}

int Loop::wait_ms(milliseconds limit) const
{
	if (timers_.empty())
		return static_cast<int>(limit.count());
	const auto left =
		std::chrono::ceil<milliseconds>(timers_.begin()->first.first - Clock::now());
	return static_cast<int>(std::clamp(left, milliseconds(0), limit).count());
}

void Loop::fire_timers()
{
	// Timers that callbacks add for "now" wait for the next turn: descriptors get theirs too.
	const Clock::time_point now = Clock::now();
	const Timer newest = last_timer_;
	for (auto first = timers_.begin();
	     first != timers_.end() && first->first.first <= now && first->first.second <= newest;
	     first = timers_.begin()) {
		const std::function<void()> callback = std::move(first->second);
		when_.erase(first->first.second);
		timers_.erase(first);
		callback();
	}
}

Status Loop::turn(milliseconds limit)
{
	std::array<epoll_event, 256> events;
	const int count = epoll_wait(epoll_.get(), events.data(), events.size(), wait_ms(limit));
	if (count < 0 && errno != EINTR)
		return fail_errno("epoll_wait", errno);
	for (int i = 0; i < count; i++) {
		const std::uint64_t data = events[static_cast<std::size_t>(i)].data.u64;
		const auto found = watched_.find(static_cast<int>(data & 0xffffffff));
		if (found == watched_.end() || found->second.serial != data >> 32)
			continue;
		const auto keep = found->second.on_events; // it may forget itself
		(*keep)(events[static_cast<std::size_t>(i)].events);
	}
	fire_timers();
	return {};
}

Status Loop::run()
{
	stopped_ = false;
	while (!stopped_)
		AX_TRY(turn(milliseconds(60000)));
	return {};
}

} // namespace anycast
