// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <new>
#include <numeric>
#include <random>

namespace anycast::bench {

namespace {

constexpr std::size_t kPage = 4096, kSmallest = 256 << 10, kLargest = 32 << 20;

} // namespace

void Chain::Free::operator()(Line *lines) const
{
	std::free(lines);
}

Chain::Chain(std::size_t bytes)
	: count_(std::max<std::size_t>(bytes / sizeof(Line), 1)),
	  lines_(static_cast<Line *>(
		  std::aligned_alloc(kPage, (this->bytes() + kPage - 1) / kPage * kPage)))
{
	std::vector<std::size_t> order(count_);

	if (!lines_)
		throw std::bad_alloc();
	::madvise(lines_.get(), this->bytes(), MADV_NOHUGEPAGE); // without it only faster
	std::iota(order.begin(), order.end(), 0);
	std::shuffle(order.begin(), order.end(), std::mt19937_64(count_));
	for (std::size_t i = 0; i < count_; ++i)
		lines_[order[i]].next = &lines_[order[(i + 1) % count_]];
}

double Chain::ns_a_load()
{
	const auto around = [this](const Line *line) {
		for (std::size_t i = 0; i < count_; ++i)
			line = line->next;
		return line;
	};
	const Line *volatile line = around(&lines_[0]);
	const auto start = std::chrono::steady_clock::now();

	line = around(line);
	const std::chrono::duration<double, std::nano> took =
		std::chrono::steady_clock::now() - start;
	return took.count() / static_cast<double>(count_);
}

std::size_t Chain::cycle() const
{
	const Line *line = lines_[0].next;
	std::size_t steps = 1;

	for (; line != &lines_[0] && steps <= count_; ++steps)
		line = line->next;
	return steps;
}

Memory::Memory()
{
	for (std::size_t bytes = kSmallest; bytes <= kLargest; bytes *= 2)
		chains_.emplace_back(bytes);
	ns_.resize(chains_.size());
}

void Memory::measure()
{
	for (std::size_t i = 0; i < chains_.size(); ++i)
		ns_[i].push_back(chains_[i].ns_a_load());
}

std::vector<MemoryStep> Memory::steps() const
{
	std::vector<MemoryStep> steps;

	for (std::size_t i = 0; i < chains_.size(); ++i)
		steps.push_back({chains_[i].bytes(), summarise(ns_[i])});
	return steps;
}

} // namespace anycast::bench
