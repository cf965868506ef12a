// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "agent/bird_worker.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <chrono>

namespace anycast::agent {

namespace {

// Full tables take BIRD longer to look through: half a million routes, some tenths of a second a
// question. It is hung only if it does not answer at all.
constexpr std::chrono::milliseconds kBudget{900}, kLongestBudget{4000}, kPause{1000};

} // namespace

BirdWorker::BirdWorker(Loop &loop, const BirdConfig &config, Fd wake, OnStatus on_status)
	: loop_(loop), speaker_(config), wake_(std::move(wake)), on_status_(std::move(on_status))
{
}

Result<std::unique_ptr<BirdWorker>> BirdWorker::start(Loop &loop, const BirdConfig &config,
						      OnStatus on_status)
{
	Fd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (!wake.valid())
		return fail_errno("eventfd", errno);
	std::unique_ptr<BirdWorker> worker(
		new BirdWorker(loop, config, std::move(wake), std::move(on_status)));
	AX_TRY(loop.watch(worker->wake_.get(), EPOLLIN,
			  [self = worker.get()](std::uint32_t) { self->deliver(); }));
	worker->thread_ = std::thread([self = worker.get()] { self->work(); });
	return worker;
}

BirdWorker::~BirdWorker()
{
	loop_.forget(wake_.get());
	{
		const std::lock_guard lock(mutex_);
		stop_ = true;
	}
	changed_.notify_one();
	if (thread_.joinable())
		thread_.join();
}

std::uint64_t BirdWorker::post(Wanted wanted)
{
	const std::lock_guard lock(mutex_);
	wanted_ = std::move(wanted);
	changed_.notify_one();
	return ++posted_;
}

void BirdWorker::work()
{
	std::unique_lock lock(mutex_);
	auto budget = kBudget;
	while (!stop_) {
		if (wanted_) {
			const Wanted wanted = *wanted_;
			const std::uint64_t round = posted_;
			lock.unlock();
			BirdStatus status = speaker_.reconcile(wanted, budget);
			const bool slow =
				status.state == BirdState::kHung && !status.version.empty();
			if (slow)
				budget = std::min(2 * budget, kLongestBudget);
			else if (status.state != BirdState::kRunning)
				budget = kBudget;
			lock.lock();
			status_ = std::move(status);
			done_ = round;
			eventfd_write(wake_.get(), 1);
		}
		changed_.wait_for(lock, kPause, [&] { return stop_ || posted_ != done_; });
	}
}

void BirdWorker::deliver()
{
	eventfd_t count = 0;
	eventfd_read(wake_.get(), &count);
	std::unique_lock lock(mutex_);
	if (!status_)
		return;
	const BirdStatus status = std::move(*status_);
	const std::uint64_t round = done_;
	status_.reset();
	lock.unlock();
	on_status_(status, round);
}

} // namespace anycast::agent
